"""Output is compared to the letter, but for `...`, blanks, rules of tables, and numbers within a tolerance."""

import pytest

from tests.docs.compare import difference, tolerance

PRINTED = """halocline: ocean 'gyre': 50 x 50 cells
halocline: shadow 'gz21', du: correlation 0.4055, rms 2.193e-08 (1.661e-08)
┏━━━━━━━┳━━━━━━┓
┃ field ┃  min ┃
┡━━━━━━━╇━━━━━━┩
│ u     │ 0.25 │
cn_sha256 = '9beef8fb'; onnxruntime 1.31.1
"""


@pytest.mark.parametrize(
    "shown",
    [
        PRINTED,
        "halocline: ocean 'gyre':\n   50 x 50 cells\n...",
        "...rms 2.19e-08 ...",
        "...correlation 0.406, ...",
        "...\n┏━━━━━━━━━┳━━┓\n┃ field ┃ min ┃\n┡━━━━━━━╇━━━━━━┩\n│ u │ 0.2 │\n...",
        "...'9be...'; onnxruntime 1.31.1",
    ],
)
def test_the_same(shown):
    assert not difference(shown, PRINTED)


@pytest.mark.parametrize(
    "shown",
    [
        "halocline: ocean 'gyre': 50 x 50 cells",  # more was printed
        "shadow ...",  # something stands before
        "...rms 2.3e-08 ...",
        "...rms -2.193e-08 ...",
        "...correlation 0.42, ...",
        "...onnxruntime 1.31.2",
        "...min ... field...",  # the order
        "...'9bee9...'...",
    ],
)
def test_not_the_same(shown):
    assert difference(shown, PRINTED)


def test_tolerance():
    assert not difference("...rms 2.6e-08 ...", PRINTED, tolerance("20%"))
    assert difference("...rms 2.6e-08 ...", PRINTED, tolerance("10%"))
    assert not difference("...rms 7 ...", PRINTED, tolerance("any"))
    assert difference("...rmx 7 ...", PRINTED, tolerance("any"))

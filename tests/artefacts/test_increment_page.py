"""What users see of increments: the page with window and climatology, and attach, which takes the entries."""

import io

import pytest
from my_nets import document, onnx_net, write
from rich.console import Console
from test_increment import WINDOW, bias

from coupler.artefacts import columns
from coupler.artefacts.attach import attach
from coupler.artefacts.page import inspect
from coupler.engines.base import read_contract
from coupler.errors import HaloclineError
from coupler.increments import window_words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(432000.0, "5 days"), (86400.0, "1 day"), (21600.0, "6 hours"), (100.0, "100 s"), (129600.0, "1.5 days")],
)
def test_windows_in_words(seconds, words):
    assert window_words(seconds) == words


def test_the_page_shows_window_and_climatology(tmp_path):
    told = bias(
        scalars=["day_of_year"],
        self_test=None,
        climatology={"harmonics": 2, "year_days": 360},
        explained={"du": {"climatology": 0.05, "state": 0.41}},
    )
    path = tmp_path / "bias.py"
    path.write_text(f"CONTRACT = {told.model_dump(mode='json', exclude_none=True)!r}\n")
    text = io.StringIO()
    inspect(path, console=Console(file=text, width=120))
    for words in (
        "5 days (432000 s)", "du, dv: increment of m s-1 per 5 days -> tendency in m s-2",
        "mean and 2 harmonics of a year of 360 days", "5.0 %", "41.0 %", "46.0 %",
    ):  # fmt: skip
        assert words in text.getvalue(), text.getvalue()
    plain = io.StringIO()
    path.write_text(f"CONTRACT = {bias('tendency').model_dump(mode='json', exclude_none=True)!r}\n")
    inspect(path, console=Console(file=plain, width=120))
    assert "window" not in plain.getvalue() and "increment" not in plain.getvalue()


def test_a_narrow_page_folds_between_words(tmp_path, monkeypatch):
    """Eight columns in 80 characters: no line is longer, no word is broken; the twin that may break words breaks some."""
    told = bias().model_dump(mode="json", exclude_none=True)
    told["self_test"] = None
    for spec in told["inputs"]:
        spec |= {"valid_range": [-3.14643, 3.27818], "percentiles": [-0.482684, 0.719819]}
    told["inputs"].append(
        {"name": "tmask", "units": "1", "point": "T", "static": True, "standard_name": "sea_binary_mask"}
    )
    path = tmp_path / "bias.py"
    path.write_text(f"CONTRACT = {told!r}\n")
    text = io.StringIO()
    inspect(path, console=Console(file=text, width=80))
    words = ("sea_binary_mask", "-0.482684", "3.27818", "static,")
    body = text.getvalue().split("inputs\n")[1]
    assert max(map(len, body.splitlines())) <= 80 and set(words) <= set(body.split())
    monkeypatch.setattr(columns, "widths", lambda cells, room: [7] * len(cells))
    text = io.StringIO()
    inspect(path, console=Console(file=text, width=80))
    assert not set(words) <= set(text.getvalue().split())


def test_attach_takes_the_new_entries(tmp_path):
    output = document()["outputs"][0] | {"units": "m s-1", "kind": "increment"}
    new = {"outputs": [output], "window": WINDOW, "explained": {"y": {"climatology": 0.1, "state": 0.2}}}
    told = read_contract(attach(*write(tmp_path, onnx_net(), new)))
    assert (told.window, told.outputs[0].kind, told.explained["y"].state) == (WINDOW, "increment", 0.2)
    with pytest.raises(HaloclineError, match="'y' is an increment, and no `window`"):
        attach(*write(tmp_path, onnx_net(), {"outputs": [output]}), replace=True)

"""The reference page of the documentation is what `halocline reference --markdown` writes."""

import pytest
from typer.testing import CliRunner

from coupler.cli import app
from coupler.reference import page
from coupler.settings import GROUPS, reference_text
from models.settings import GROUPS as OF_MODELS
from models.settings import text as of_models


def test_the_page_is_up_to_date(repo):
    written = (repo / "docs" / "pages" / "switches.md").read_text(encoding="utf-8")
    assert written == page(reference_text() + of_models()), (
        "write it again: halocline reference --markdown > docs/pages/switches.md"
    )
    assert CliRunner().invoke(app, ["reference", "--markdown"]).output == written


def test_a_page_that_drifts_is_seen(repo):
    """A default, a meaning, a switch or a group that changes changes the page."""
    text = reference_text()
    whole = page(text)
    for old, new in (
        ("= 64 ", "= 32 "),
        ("longest wait", "shortest wait"),
        ("nn_seed", "nn_sead"),
        ("&namdiag", "&namdiug"),
    ):
        assert old in text and page(text.replace(old, new)) != whole


def test_every_switch_has_a_row():
    rows = page(reference_text() + of_models()).splitlines()
    for name, model in {**GROUPS, **OF_MODELS}.items():
        start = rows.index(f"## &{name}")
        end = next((n for n in range(start + 1, len(rows)) if rows[n].startswith("## ")), len(rows))
        names = [row.split("`")[1] for row in rows[start:end] if row.startswith("| `")]
        assert names == list(model.model_fields)


def test_a_bar_in_a_meaning_does_not_end_a_cell():
    text = "&namx         !   A group.\n   nn_x             = 1                      ! 64 | 32\n/\n"
    assert "| `nn_x` | `1` | 64 \\| 32 |" in page(text)


def test_what_is_no_reference_is_refused():
    with pytest.raises(ValueError, match="not a line of a reference"):
        page("&namx         !   A group.\n   nn_x = 1\n/\n")

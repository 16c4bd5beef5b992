"""Export: what is shipped is what the sources give, and the command refuses nonsense."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from coupler.engines.base import load_engine
from coupler.engines.selftest import sample
from coupler.errors import HaloclineError
from models.cli import register

ZOO = Path(__file__).resolve().parents[2] / "models" / "zoo"


@pytest.fixture
def app():
    app = typer.Typer()
    app.callback()(lambda: None)
    register(app)
    return app


def test_shipped_is_what_the_sources_give(app, tmp_path):
    """Bit for bit with the pinned torch; the contract and the formula with any."""
    result = CliRunner().invoke(app, ["export", "zb20", "--out", str(tmp_path), "--dtype", "f8", "--format", "onnx"])
    assert result.exit_code == 0, result.output
    made, shipped = tmp_path / "zb20_f8.onnx", ZOO / "zb20_f8.onnx"
    assert load_engine(made).contract == load_engine(shipped).contract
    import torch

    if torch.__version__.startswith("2.13."):
        assert made.read_bytes() == shipped.read_bytes()


def test_torchscript_agrees_with_onnx(app, tmp_path):
    """The same numbers from a traced file, and nothing in it of the machine that made it."""
    arguments = ["export", "zb20", "--out", str(tmp_path), "--dtype", "f8", "--format", "pt"]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    script, shipped = load_engine(tmp_path / "zb20_f8.pt", trust=True), load_engine(ZOO / "zb20_f8.onnx")
    case = sample(shipped.contract)
    got, want = script.run(*case), shipped.run(*case)
    assert all(np.allclose(got[name], want[name], rtol=0, atol=1e-12 * abs(want[name]).max()) for name in want)
    doubled = sample(shipped.contract)[0] | {"u": 2 * case[0]["u"]}
    assert not np.allclose(script.run(doubled)["du"], want["du"], rtol=1e-3, atol=0)
    with zipfile.ZipFile(tmp_path / "zb20_f8.pt") as archive:
        assert not any(str(ZOO.parent.parent).encode() in archive.read(name) for name in archive.namelist())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["zb21"], "family 'zb21'.*zb20"),
        (["zb20", "--dtype", "f2"], "dtype 'f2'"),
        (["zb20", "--format", "h5"], "format 'h5'.*onnx, pt2, pt"),
    ],
)
def test_nonsense_is_refused(app, tmp_path, arguments, words):
    import re

    result = CliRunner().invoke(app, ["export", *arguments, "--out", str(tmp_path)])
    assert isinstance(result.exception, HaloclineError)
    assert re.search(words, str(result.exception))
    assert not any(tmp_path.iterdir())

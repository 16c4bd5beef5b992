"""Namelists and artefacts with damage at random places: words or acceptance, never a traceback, never a hang."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coupler import settings as switches
from coupler.artefacts.page import contract_of
from coupler.errors import HaloclineError
from coupler.fields import Field
from coupler.io import read_fields, write_fields

ZOO = Path(__file__).resolve().parents[2] / "models/zoo"
NAMELIST = (Path(__file__).resolve().parents[2] / "namelists/gyre_zb20/namelist_cfg").read_text()
PIECES = ["&namcpl", "&namexc", "/", "=", ",", "'", '"', "!", "\n", "\0", "é", "*", "(", ")", "%", ".true.", "1e400", "-1", "nan",
          "cn_name", "nn_wire = 7", "3*'a'", "rn_timeout = 'x'", "&", "cn_fields(2) = 'q'", "nn_lag = 1e3", "; ", "\t"]  # fmt: skip


@st.composite
def damaged_text(draw):
    """The namelist with up to four places cut, or other pieces put in."""
    text = NAMELIST
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        length = draw(st.sampled_from([0, 0, 1, 2, 10, 200]))
        text = text[:start] + draw(st.sampled_from(["", *PIECES])) + text[start + length :]
    return text


@st.composite
def damaged_bytes(draw, whole):
    """A file cut short, or with up to four runs of bytes overwritten."""
    data = bytearray(whole)
    if draw(st.booleans()):
        del data[draw(st.integers(0, len(data))) :]
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, max(len(data) - 1, 0)))
        data[start : start + 8] = draw(st.binary(min_size=1, max_size=8))
    return bytes(data)


def accepted_or_told(call):
    """Anything but a HaloclineError is a traceback for the user."""
    try:
        call()
    except HaloclineError as error:
        assert str(error)


ONCE = {"suppress_health_check": [HealthCheck.function_scoped_fixture]}


@settings(max_examples=150, **ONCE)
@given(text=damaged_text())
def test_damaged_namelists(tmp_path, text):
    (tmp_path / "namelist_cfg").write_text(text, encoding="utf-8")
    accepted_or_told(lambda: switches.load(tmp_path))


@pytest.mark.parametrize("name", ["zb20_f4.onnx", "zb20_f4.pt2"])
def test_damaged_artefacts(tmp_path, name):
    """Where a contract can still be read, the engine must load the network or refuse it in words too."""
    whole = (ZOO / name).read_bytes()

    @settings(max_examples=100)
    @given(data=damaged_bytes(whole))
    def once(data):
        path = tmp_path / name
        path.write_bytes(data)
        accepted_or_told(lambda: contract_of(path))
        if name.endswith(".onnx"):
            accepted_or_told(lambda: load(path))

    once()


@settings(max_examples=40, **ONCE)
@given(part=st.floats(0, 1, exclude_max=True))
def test_cut_restarts(tmp_path, part):
    """The coupler's restart, cut anywhere."""
    field = Field(id=0, name="now_du", units="1", point="U", levels=2, grid=1, direction="out")
    whole = tmp_path / "whole.nc"
    write_fields(whole, [(5, 6)], [field], [("now_du", 0, 0, np.ones((2, 5, 6)))], {"format": 2, "kt": 8})
    cut = tmp_path / "cut.nc"
    cut.write_bytes(whole.read_bytes()[: int(part * whole.stat().st_size)])
    with pytest.raises(HaloclineError, match=r"cut\.nc cannot be read"):
        read_fields(cut)
    assert read_fields(whole)[1]["kt"] == 8


def load(path):
    """The engine as a run loads it."""
    from coupler.engines.onnx import OnnxEngine

    OnnxEngine(path.read_bytes(), path, 1)


def test_a_reader_that_lets_an_error_through_is_caught(tmp_path):
    """The broken twin: what a plain reader raises is no HaloclineError."""
    shutil.copy(ZOO / "zb20_f4.onnx", tmp_path / "net.onnx")
    with pytest.raises(ZeroDivisionError):
        accepted_or_told(lambda: 1 // 0)

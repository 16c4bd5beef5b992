"""Namelists and artefacts with damage at random places: words or acceptance, never a traceback, never a hang."""

import copy
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coupler import settings as switches
from coupler.artefacts.page import contract_of
from coupler.contract import Contract
from coupler.errors import HaloclineError
from coupler.fields import Field
from coupler.io import read_fields, write_fields
from tests.ocean.conftest import executable

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


@pytest.mark.parametrize("examples", [5, pytest.param(60, marks=pytest.mark.slow)])
def test_damaged_namelists_in_the_ocean(tmp_path, examples):
    """The Fortran side reads the same file: it describes itself or says what is wrong; no signal, no backtrace."""
    program, heard = executable("double"), []

    @settings(max_examples=examples)
    @given(text=damaged_text())
    def once(text):
        (tmp_path / "namelist_cfg").write_text(text, encoding="utf-8")
        done = subprocess.run(
            [program, "--describe"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=60,
            check=False,
        )
        (tmp_path / "halocline.abort").unlink(missing_ok=True)
        said = "error: " in done.stderr or "halocline: " in done.stderr
        assert done.returncode >= 0 and "Backtrace" not in done.stderr, done.stderr
        assert done.returncode == 0 or said, done.stderr
        heard.append(done.returncode)

    once()
    assert 0 in heard and len(set(heard)) > 1  # the broken twin: damage that nobody notices, or nobody survives


CONTRACT = json.loads(contract_of(ZOO / "zb20_f4.onnx").model_dump_json())
ODD = st.sampled_from(
    [None, -1, 0, 7, 1e300, float("nan"), True, "", "u", "m s-1", "\0", [], [1, 2], ["u"], {}, {"name": "u"}, [[]]]
)


@st.composite
def damaged_contract(draw):
    """The contract with up to three values at any depth replaced or taken away."""
    document = copy.deepcopy(CONTRACT)
    for _ in range(draw(st.integers(1, 3))):
        node = document
        while True:
            places = list(node) if isinstance(node, dict) else list(range(len(node)))
            if not places:
                break
            place = draw(st.sampled_from(places))
            if isinstance(node[place], dict | list) and node[place] and draw(st.booleans()):
                node = node[place]
                continue
            if draw(st.booleans()):
                node[place] = draw(ODD)
            else:
                del node[place]
            break
    return document


@settings(max_examples=300)
@given(document=damaged_contract())
def test_damaged_contracts(document):
    accepted_or_told(lambda: Contract.from_json(json.dumps(document)))


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


def test_damaged_bytes_in_restarts(tmp_path):
    """Flipped bytes may bring HDF5 itself down, so another process reads: it ends by itself, in words."""
    field = Field(id=0, name="now_du", units="1", point="U", levels=2, grid=1, direction="out")
    write_fields(
        tmp_path / "whole.nc", [(5, 6)], [field], [("now_du", 0, 0, np.ones((2, 5, 6)))], {"format": 2, "kt": 8}
    )
    whole, draw = (tmp_path / "whole.nc").read_bytes(), random.Random(8)
    for number in range(60):
        data = bytearray(whole)
        for _ in range(draw.randint(1, 4)):
            data[draw.randrange(len(data))] = draw.randrange(256)
        (tmp_path / f"{number}.nc").write_bytes(data)
    reader = (
        "import sys, pathlib; from coupler.io import read_fields; from coupler.errors import HaloclineError\n"
        "for path in sorted(pathlib.Path(sys.argv[1]).glob('[0-9]*.nc')):\n"
        "    try:\n        read_fields(path)\n    except HaloclineError as error:\n        print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", reader, tmp_path], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "cannot be read as NetCDF" in done.stdout


def load(path):
    """The engine as a run loads it."""
    from coupler.engines.onnx import OnnxEngine

    OnnxEngine(path.read_bytes(), path, 1)


def test_a_reader_that_lets_an_error_through_is_caught(tmp_path):
    """The broken twin: what a plain reader raises is no HaloclineError."""
    shutil.copy(ZOO / "zb20_f4.onnx", tmp_path / "net.onnx")
    with pytest.raises(ZeroDivisionError):
        accepted_or_told(lambda: 1 // 0)

"""Tiles: a call below a limit of memory gives the bits of one call."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from engine_nets import Conv, contract, fields, write

from coupler.engines.base import load_engine
from coupler.engines.selftest import self_test
from coupler.engines.tiled import HostPeak, TiledEngine, measured_bytes
from coupler.errors import HaloclineError


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    return load_engine(write("onnx", tmp_path_factory.mktemp("tiles") / "net.onnx"))


@pytest.fixture(scope="module")
def case():
    return fields(shape=(3, 40, 50))


# cells of a tile with its halo: two levels, one level, rows, a row, squares, single cells
@pytest.mark.parametrize("cells", [4000, 2000, 1000, 250, 100, 25])
def test_tiles_give_the_bits_of_the_whole(engine, case, cells):
    tiled = TiledEngine(engine, maxmem=cells / 1e4, bytes_per_cell=100.0)
    k, nj, ni = tiled.tile((3, 36, 46))
    assert k * (nj + 4) * (ni + 4) <= cells
    got, want = tiled.run(case), engine.run(case)
    assert all(np.array_equal(got[name], want[name]) for name in want)


def test_an_overlap_too_small_is_caught(engine, case):
    """The broken twin: tiles that overlap by radius - 1."""
    tiled = TiledEngine(engine, maxmem=0.1, bytes_per_cell=100.0)
    tiled._overlap -= 2
    with pytest.raises((HaloclineError, ValueError)):
        tiled.run(case)


def test_too_little_for_one_cell(engine):
    with pytest.raises(HaloclineError, match=r"one cell with its radius of 2 takes 0\.0025 MB.*Set rn_maxmem to 1"):
        TiledEngine(engine, maxmem=0.0024, bytes_per_cell=100.0)


def test_enough_memory_is_one_call(engine, case):
    tiled = TiledEngine(engine, 1000.0, 100.0)
    assert tiled.tile((3, 36, 46)) == (3, 36, 46)
    assert tiled.run(case).keys() == {"du", "dv"}


def test_noise_scalars_and_one_level_masks_are_cut_alike(tmp_path):
    path = tmp_path / "net.py"
    document = contract(
        radius=1,
        tensors="named",
        noise=[{"name": "z"}],
        scalars=["kt"],
        stochastic={"kind": "flow"},
        inputs=[{"name": "u", "units": "1", "point": "T"}, {"name": "m", "units": "1", "point": "T", "levels": 1}],
        outputs=[{"name": "y", "units": "1", "point": "T"}],
        self_test=None,
    ).model_dump(mode="json", exclude_none=True)
    path.write_text(
        f"import numpy as np\nCONTRACT = {document!r}\n"
        "def run(inputs, noise, scalars):\n"
        "    u, m, z = inputs['u'], inputs['m'], noise['z']\n"
        "    y = (u[:, 2:, 1:-1] - u[:, :-2, 1:-1]) * m[:, 1:-1, 2:] + z[:, 1:-1, :-2] * np.float32(scalars['kt'])\n"
        "    return {'y': y}\n"
    )
    engine = load_engine(path, python_allow=["net.py"])
    u, z, m = fields("uzm", (3, 12, 13)).values()
    arguments = {"u": u, "m": m[:1].copy()}, {"z": z}, {"kt": 2.0}
    want = engine.run(*arguments)["y"]
    for cells in (200, 60, 30):
        assert np.array_equal(TiledEngine(engine, cells / 1e4, 100.0).run(*arguments)["y"], want)


def test_bytes_per_cell_are_measured(engine):
    """Two fields in, two out, four channels between: 32 bytes at least, and no thousandfold."""
    assert 32 <= measured_bytes(engine, 200.0) <= 2000


SCRIPT = """
import sys
import numpy as np
from coupler.engines.base import load_engine
from coupler.engines.tiled import HostPeak
engine = load_engine(sys.argv[1], maxmem=float(sys.argv[2]))
x = {n: np.ones((2, 404, 304), "f4") for n in "uv"}
peak = HostPeak()
y = engine.run(x)
print((peak.growth() - sum(a.nbytes for a in y.values())) / 1e6)
"""


@pytest.mark.parametrize("maxmem", [10.0, 40.0])
def test_memory_stays_below_the_limit(tmp_path, maxmem):
    """64 channels: one call takes over 60 MB; the peak is the kernel's, in a process of its own."""
    path = write("onnx", tmp_path / "wide.onnx", Conv(64))

    def grown(limit):
        command = [sys.executable, "-c", SCRIPT, str(path), str(limit)]
        root = Path(__file__).resolve().parents[2]
        return float(subprocess.run(command, capture_output=True, text=True, check=True, cwd=root).stdout)

    assert grown(maxmem) <= maxmem
    assert grown(0) > 60  # the broken twin: without a limit


@pytest.mark.parametrize("proc", ["/proc/self", "/nowhere"])
def test_the_peak_sees_an_allocation(proc):
    """By the kernel's counter, or by getrusage where it cannot be reset."""
    peak = HostPeak(Path(proc))
    np.ones(2**23)
    if proc == "/proc/self":
        assert 6e7 < peak.growth() < 1e8
    assert peak.growth() >= 0


def test_the_self_test_holds_in_tiles(engine):
    tiled = TiledEngine(engine, maxmem=0.05, bytes_per_cell=100.0)
    assert self_test(tiled) == "bitwise"
    assert "tiles of 500 cells" in tiled.description

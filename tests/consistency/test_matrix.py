"""Every combination of transport, ranks and edges gives the same bits, with halos wider than the subdomains.

A network of radius 10 on three levels, the onnx engine, one thread. A sample runs in `make test`, all in `make test-all`.
"""

import itertools

import numpy as np
import pytest

from coupler.engines.base import load_engine
from coupler.grid import Grid
from tests.consistency.conftest import BOUNDARIES, same_bits
from tests.consistency.convnet import LEVELS, write
from tests.unit.test_halo import source_cell

STEPS = 3
TRANSPORTS, OCEAN, COUPLER = ("mpi", "oasis"), (1, 2, 3, 4, 6), (1, 2, 3)
FULL = list(itertools.product(TRANSPORTS, BOUNDARIES, OCEAN, COUPLER))
SAMPLE = {
    ("mpi", "closed", 3, 2), ("mpi", "cyclic_ew", 6, 3), ("mpi", "fold_T", 4, 3), ("mpi", "fold_F", 6, 2), ("mpi", "fold_T", 2, 1),
    ("oasis", "closed", 2, 3), ("oasis", "cyclic_ew", 4, 2), ("oasis", "fold_T", 3, 2), ("oasis", "fold_F", 2, 1),
}  # fmt: skip
CASES = [pytest.param(*case, marks=[] if case in SAMPLE else [pytest.mark.slow]) for case in FULL]


@pytest.fixture(scope="session")
def artefact(tmp_path_factory):
    return write(tmp_path_factory.mktemp("net") / "convnet.onnx")


@pytest.fixture(scope="session")
def matrix_run(coupled_run, artefact):
    """matrix_run(transport, boundary, ocean, coupler) -> Coupled, three layers, the tendencies applied."""
    coupling = {
        "namcpl": {"rn_timeout": 60.0},
        "namexc": [
            {"cn_name": "state", "cn_dir": "to_coupler", "cn_fields": ["u", "v"]},
            {"cn_name": "tendency", "cn_dir": "to_ocean", "cn_fields": ["du", "dv"]},
        ],
        "namnet": {"cn_name": "convnet", "cn_artefact": "convnet.onnx"},
        "namdiag": {"rn_diag": 2400.0, "cn_diag": ["u", "v", "du", "dv"]},
    }
    layers = {
        "namusr_def": {"nn_layers": LEVELS, "rn_h": [400.0, 400.0, 450.0], "rn_gred": [0.006, 0.005, 0.005]},
        "namrun": {"nn_itend": STEPS, "ln_cpl": True},
    }

    def run(transport, boundary, ocean, coupler):
        over = {"namcpl": {**coupling["namcpl"], "cn_transport": transport}}
        return coupled_run(BOUNDARIES[boundary], layers, coupling, over, ocean=ocean, coupler=coupler, link=(artefact,))

    return run


@pytest.fixture(scope="session")
def reference(matrix_run):
    known = {}

    def get(boundary):
        if boundary not in known:
            known[boundary] = matrix_run("mpi", boundary, 1, 1)
        return known[boundary]

    return get


@pytest.mark.parametrize(("transport", "boundary", "ocean", "coupler"), CASES)
def test_every_combination_has_the_same_bits(matrix_run, reference, transport, boundary, ocean, coupler):
    one, other = reference(boundary), matrix_run(transport, boundary, ocean, coupler)
    same_bits(one.diagnostics(), other.diagnostics())
    same_bits(one.restart(STEPS), other.restart(STEPS))


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_the_reference_is_the_network_on_the_global_field(reference, artefact, boundary):
    """The padded field built cell by cell, without the index map, through the same network."""
    found = reference(boundary).diagnostics()
    engine = load_engine(artefact)
    step = found.isel(time_counter=-1)
    ny, nx = step["u"].shape[-2:]
    grid = Grid(nx, ny, boundary)
    inputs = {}
    for name, point in (("u", "U"), ("v", "V")):
        padded = np.zeros((LEVELS, ny + 20, nx + 20), np.float32)
        for j, i in np.ndindex(padded.shape[1:]):
            source = source_cell(grid, j - 10, i - 10, point)
            if source:
                padded[:, j, i] = source[2] * step[name].values[:, source[0], source[1]]
        inputs[name] = padded
    for name, value in engine.run(inputs).items():
        assert value.astype(np.float64).tobytes() == step[name].values.tobytes()
        assert np.abs(value).max() > 0

"""The path of a GPU, forced on the CPU, in coupled runs: the ocean ends with the bits of the path through numpy."""

from functools import cache

import netCDF4
import pytest

from tests.consistency.conftest import SPINUP, coupling, same_bits

LAST = SPINUP + 40
NET = {"namnet": {"ln_trust": True}}
COUPLE = """
from pathlib import Path

from coupler import loop, settings
from coupler.network import Network

bind = Network.bind


def on_device(net, *args):
    net.on_device = True
    bind(net, *args)
    assert net.resident is not None


Network.bind = on_device
{broken}
loop.couple(settings.load(Path()))
"""
NO_SIGN = """
from coupler.engines import arrivals

places = arrivals.places
arrivals.places = lambda *args: (places(*args)[0], 1 + 0 * places(*args)[1])
"""


@pytest.fixture(scope="module")
def traced(tmp_path_factory):
    """zb20 as TorchScript, which a rank loads in a second; the shipped exported program takes five."""
    from models.export import export

    return export("zb20", tmp_path_factory.mktemp("traced"), ["f8"], ["pt"])[0]


@pytest.fixture(scope="module")
def resident_run(zb20_run, tmp_path_factory):
    def run(*changes, broken="", **layout):
        script = tmp_path_factory.mktemp("script") / "couple.py"
        script.write_text(COUPLE.format(broken=broken))
        return zb20_run(*changes, NET, steps=40, script=script, **layout)

    return run


@pytest.fixture(scope="module")
def numpy_path(zb20_run, traced):
    """numpy_path(boundary, artefact) -> the ocean's restart of the run on one rank each, made once."""

    @cache
    def get(boundary, artefact):
        return zb20_run(coupling(artefact), NET, steps=40, boundary=boundary, link=(traced,)).restart(LAST)

    return get


@pytest.mark.parametrize(
    ("boundary", "artefact"), [("closed", "zb20_f8.pt"), ("cyclic_ew", "zb20_f8.pt"), ("fold_T", "zb20_f8.pt2")]
)
def test_coupled_runs_have_the_bits_of_the_numpy_path(numpy_path, resident_run, traced, boundary, artefact):
    run = resident_run(
        coupling(artefact), {"namdiag": {"rn_diag": 0.0}}, boundary=boundary, link=(traced,), ocean=4, coupler=2
    )
    same_bits(numpy_path(boundary, artefact), run.restart(LAST))


def test_an_index_map_without_sign_is_caught(numpy_path, resident_run):
    run = resident_run(coupling("zb20_f8.pt2"), boundary="fold_T", ocean=2, coupler=2, broken=NO_SIGN)
    with pytest.raises(AssertionError):
        same_bits(numpy_path("fold_T", "zb20_f8.pt2"), run.restart(LAST))


def test_a_recording_still_has_the_fields(zb20_run, resident_run, traced):
    """What the CPU reads is unpacked there too."""
    record = {"namcpl": {"nn_wire": 64, "rn_timeout": 30.0, "ln_record": True}}
    layout = {"link": (traced,), "ocean": 2, "coupler": 2}
    runs = [
        zb20_run(coupling("zb20_f8.pt"), NET, record, steps=40, **layout),
        resident_run(coupling("zb20_f8.pt"), record, **layout),
    ]
    groups = [{}, {}]
    for run, found in zip(runs, groups, strict=True):
        with netCDF4.Dataset(run.folder / "halocline_record.nc") as file:
            found |= {(g, v): part[v][:] for g, part in file.groups.items() for v in part.variables}
    assert groups[0].keys() == groups[1].keys() and any("state" in group for group, _ in groups[0])
    for key, values in groups[0].items():
        assert values.tobytes() == groups[1][key].tobytes(), key

"""The path of a GPU, forced on the CPU, in coupled runs: the ocean ends with the bits of the path through numpy."""

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
def resident_run(zb20_run, tmp_path_factory):
    def run(*changes, broken="", **layout):
        script = tmp_path_factory.mktemp("script") / "couple.py"
        script.write_text(COUPLE.format(broken=broken))
        return zb20_run(coupling("zb20_f8.pt2"), NET, *changes, steps=40, script=script, **layout)

    return run


@pytest.mark.parametrize("boundary", ["closed", "cyclic_ew", "fold_T"])
def test_coupled_runs_have_the_bits_of_the_numpy_path(zb20_run, resident_run, boundary):
    want = zb20_run(coupling("zb20_f8.pt2"), NET, steps=40, boundary=boundary).restart(LAST)
    no_diagnostics = {"namdiag": {"rn_diag": 0.0}}
    same_bits(want, resident_run(no_diagnostics, boundary=boundary, ocean=4, coupler=2).restart(LAST))


def test_an_index_map_without_sign_is_caught(zb20_run, resident_run):
    want = zb20_run(coupling("zb20_f8.pt2"), NET, steps=40, boundary="fold_T").restart(LAST)
    with pytest.raises(AssertionError):
        same_bits(want, resident_run(boundary="fold_T", ocean=2, coupler=2, broken=NO_SIGN).restart(LAST))


def test_a_recording_still_has_the_fields(zb20_run, resident_run):
    """What the CPU reads is unpacked there too."""
    record = {"namcpl": {"nn_wire": 64, "rn_timeout": 30.0, "ln_record": True}}
    runs = [
        zb20_run(coupling("zb20_f8.pt2"), NET, record, steps=40, ocean=2, coupler=2),
        resident_run(record, ocean=2, coupler=2),
    ]
    groups = [{}, {}]
    for run, found in zip(runs, groups, strict=True):
        with netCDF4.Dataset(run.folder / "halocline_record.nc") as file:
            found |= {(g, v): part[v][:] for g, part in file.groups.items() for v in part.variables}
    assert groups[0].keys() == groups[1].keys() and any("state" in group for group, _ in groups[0])
    for key, values in groups[0].items():
        assert values.tobytes() == groups[1][key].tobytes(), key

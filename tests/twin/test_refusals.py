"""What the twin does not have is refused with the switch, its line and what to do."""

import netCDF4
import pytest

from coupler.errors import HaloclineError
from models.data.ocean_restart import read_restart, write_restart
from tests.twin.conftest import small

REFUSED = {
    "fold": ({"namusr_def": {"nn_nx": 16, "cn_bnd": "fold_T"}}, "no boundary 'fold_T'"),
    "flags": ({"namzb20": {"ln_zb20": False, "ln_zb20_fb": True}}, "ln_zb20_fb = True"),
    "trends": ({"namtrd": {"ln_trd": True}}, "ln_trd = True"),
    "right-hand sides": ({"namrhs": {"ln_rhs": True}}, "ln_rhs = True"),
    "increments": ({"nam_asminc": {"ln_asmiau": True}}, "does not assimilate: ln_asmiau"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_switch_that_the_twin_lacks_is_refused(tmp_path, name):
    """With its line; the same namelist without the switch runs."""
    groups, words = REFUSED[name]
    with pytest.raises(HaloclineError, match=words) as error:
        small(tmp_path, **groups)
    assert "namelist_cfg line" in str(error.value)
    small(tmp_path)


def test_a_restart_of_another_grid_is_refused(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one, two = small(tmp_path / "one"), small(tmp_path / "two", namusr_def={"nn_nx": 9})
    write_restart(tmp_path / "restart.nc", two.restart(two.rest(), 0))
    with pytest.raises(HaloclineError, match=r"shape \(2, 15, 11\)"):
        one.state(read_restart(tmp_path / "restart.nc"))
    two.state(read_restart(tmp_path / "restart.nc"))


def test_a_file_that_is_no_restart_is_refused(tmp_path):
    (tmp_path / "text.nc").write_text("no NetCDF")
    with pytest.raises(HaloclineError, match="cannot be read"):
        read_restart(tmp_path / "text.nc")
    with netCDF4.Dataset(tmp_path / "empty.nc", "w"):
        pass
    with pytest.raises(HaloclineError, match="it lacks un, vn"):
        read_restart(tmp_path / "empty.nc")

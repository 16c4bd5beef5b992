"""Where the value of a switch comes from: default, namelist_ref, or a line of namelist_cfg."""

import pytest

from coupler import settings
from coupler.check_switches import of_coupler, of_ocean, without_effect

CFG = """\
&namrun
   nn_itend = 20
/
&namctl  sn_cfctl%l_runstat = .true. /
&namcpl
   nn_wire = 32 ! nn_seed = 9 is a comment
/
&namexc cn_name = 'state', cn_dir = 'to_coupler', cn_fields = 't' /
"""
REF = """\
&namrun
   nn_itend = 10
   NN_stock = 5
/
&namother nn_x = 1 /
!! --- Halocline: the coupler ---
&namcpl nn_wire = 64, nn_seed = 3, cn_model = '' /
&namdiag cn_diag = '' /
"""


@pytest.fixture
def files(tmp_path):
    for name, text in (("namelist_cfg", CFG), ("namelist_ref", REF)):
        (tmp_path / name).write_text(text)
    return tmp_path


def test_every_switch_of_the_coupler_has_a_source(files):
    values = of_coupler(settings.load(files))
    found = {(v.group, v.key): v for v in values}
    wire, seed = found["namcpl", "nn_wire"], found["namcpl", "nn_seed"]
    assert (wire.value, wire.source, wire.line, wire.place) == (32, "namelist_cfg", 6, "line 6")
    assert (seed.value, seed.source, seed.line, seed.place) == (0, "default", None, "default")
    assert found["namexc", "cn_fields"].line == 8 and found["namexc", "cn_fields"].name == "state"
    models = [settings.NamCpl, settings.NamExc, settings.NamDiag, settings.NamLog]
    assert len(values) == sum(len(model.model_fields) for model in models)


def test_the_oceans_switches_come_from_both_files(files):
    values = {v.key: v for v in of_ocean(files / "namelist_cfg", files / "namelist_ref")}
    assert set(values) == {"nn_itend", "NN_stock"}, "groups that namelist_cfg does not hold, or that cannot be read"
    assert (values["nn_itend"].value, values["nn_itend"].place) == (20, "line 2")
    assert (values["NN_stock"].value, values["NN_stock"].place) == (5, "namelist_ref")


def test_a_switch_of_ours_in_namelist_ref_is_told_to_be_idle(files, repo):
    (note,) = without_effect(files / "namelist_ref")
    assert note.startswith("namelist_ref line 7 (&namcpl, nn_seed) has no effect")
    assert without_effect(repo / "namelists" / "namelist_ref") == []
    assert without_effect(files / "nowhere") == []

"""The files of diagnostics: nothing of an earlier run is lost, means are weighted, metadata are CF, fields are found by units."""

import csv
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from coupler.budget_fields import Lacking, Sources
from coupler.budgets import Budgets
from coupler.errors import HaloclineError
from coupler.exchange import Exchange, make_plan
from coupler.fields import Field
from coupler.grid import Box, Grid, decompose, ownership
from coupler.io import DiagnosticsField, create_diagnostics
from coupler.links import Link
from coupler.means import Means
from coupler.records import coordinates, described
from coupler.series import Series
from coupler.settings import NamDiag

GRID = Grid(6, 4)


def lines(path):
    with open(path, newline="") as file:
        return list(csv.reader(file))


def test_a_table_goes_on_after_a_restart(tmp_path):
    """Lines that are made anew replace the old; a run that died in the middle of a line does no harm."""
    path = tmp_path / "table.csv"
    first = Series(path, ["a"], 1)
    for kt in (10, 20, 30):
        first.row(kt, "0001-01-01 00:00:00", {"a": kt / 3})
    with open(path, "a") as file:
        file.write("40,0001-01-0")
    second = Series(path, ["a"], 21)
    second.row(30, "0001-01-01 00:00:00", {"a": 1.0})
    assert [row[0] for row in lines(path)] == ["kt", "10", "20", "30"]
    assert float(lines(path)[1][2]) == 10 / 3 and lines(path)[3][2] == "1.0"


@pytest.mark.parametrize(("columns", "first"), [(["a", "b"], 21), (["a"], 1)])
def test_a_table_of_other_columns_or_another_run_is_put_by(tmp_path, columns, first):
    path = tmp_path / "table.csv"
    Series(path, ["a"], 1).row(10, "date", {"a": 1.0})
    old = path.read_text()
    Series(path, columns, first)
    assert (tmp_path / "table_00000010_00000010.csv").read_text() == old
    assert lines(path) == [["kt", "date", *columns]]


def test_a_table_that_cannot_be_written_says_so(tmp_path):
    with pytest.raises(HaloclineError, match="cannot write"):
        Series(tmp_path / "absent" / "table.csv", ["a"], 1)


def written(path, steps, close=True):
    file = create_diagnostics(path, (4, 6), [DiagnosticsField("du", "m s-2", "U")], "0001-01-01", "360_day")
    for kt in steps:
        file.record(kt, 3200 * kt)
        file.put("du", np.full((4, 6), float(kt)))
        file.sync()
    if close:
        file.close()
    return file


def test_a_file_of_an_earlier_run_gets_its_steps_into_its_name(tmp_path):
    path = tmp_path / "diag.nc"
    written(path, (1, 4))
    written(path, (7, 10))
    with xr.open_dataset(tmp_path / "diag_00000001_00000004.nc", decode_times=False) as old:
        assert old["kt"].values.tolist() == [1, 4]
    with xr.open_dataset(path, decode_times=False) as new:
        assert new["kt"].values.tolist() == [7, 10]


def test_what_a_killed_run_left_is_kept(tmp_path):
    """The part is readable up to its last complete record; the next run names it."""
    path = tmp_path / "diag.nc"
    died = written(path, (1, 4), close=False)
    written(path, (4, 7))
    with xr.open_dataset(tmp_path / "diag_00000001_00000004.nc", decode_times=False) as old:
        assert old["du"].values[:, 0, 0].tolist() == [1.0, 4.0]
    assert path.is_file() and not (tmp_path / "diag.nc.part").exists()
    died._file.close()


def test_a_damaged_part_is_replaced(tmp_path):
    path = tmp_path / "diag.nc"
    (tmp_path / "diag.nc.part").write_bytes(b"\x89HDF\r\n\x1a\n half a file")
    written(path, (1,))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["diag.nc"]


def test_means_count_each_value_for_the_steps_that_it_holds():
    means = Means()
    means.add({"a": np.array([1.0, 2.0], "f4")}, 3)
    means.add({"a": np.array([5.0, 2.0], "f4")}, 1)
    np.testing.assert_array_equal(means.take()["a"], [2.0, 2.0])
    assert means.take() == {}


def plan(names, static=False, halo=1, number=1, direction="to_coupler"):
    """An exchange of fields 'name units point levels' on one rank."""
    fields = []
    for n, text in enumerate(names):
        name, units, point, levels = text.split(",")
        way = "out" if direction == "to_coupler" else "in"
        fields.append(Field(id=n, name=name, units=units, point=point, levels=int(levels), direction=way))
    exchange = Exchange(number, f"exchange{number}", direction, tuple(fields), 1, static, halo)
    box = Box(0, 0, GRID.nx, GRID.ny)
    return make_plan(exchange, GRID, ownership(GRID, decompose(GRID, 1)), box, dtype=np.dtype("f8"))


METRICS = [f"e{n}{p},m,{p.upper()},1" for p in "tuvf" for n in "12"]


def sources(state, metrics=METRICS, halo=1, **switches):
    plans = [plan(["tmask,1,T,1", *metrics], True, halo), plan(state, False, halo, 2)]
    received = {name: p for p in plans for name in p.views}
    return Sources(NamDiag(**switches), received, {1: (GRID, Box(0, 0, GRID.nx, GRID.ny))})


def momentum(**change):
    net = SimpleNamespace(grid=1, inputs={}, engine=SimpleNamespace(contract=SimpleNamespace(inputs=[])))
    made = Field(id=9, name="du", units="m s-2", point="U", levels=2, direction="in")
    found = sources(**{"state": ["u,m s-1,U,2", "v,m s-1,V,2", "h,m,T,2"], **change}).momentum(net, made, None)
    return {role: source.name for role, source in found.items()}


def test_velocities_and_thickness_are_found_by_units_point_and_levels():
    assert momentum() == {"u": "u", "v": "v", "h": "h"}
    state = ["uo,m s-1,U,2", "taux,N m-2,U,1", "vitesse,m s-1,V,2", "ssh,m,T,1", "e3t,m,T,2", "mld,m,T,2"]
    assert momentum(state=state) == {"u": "uo", "v": "vitesse", "h": "e3t"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"metrics": METRICS[:2]}, "no e1u, e2u, e1v, e2v travels"),
        ({"halo": 0}, "has no halo"),
        ({"state": ["u,m s-1,U,2", "v,m s-1,V,2"]}, "no field at T in m with 2 levels"),
        ({"state": ["a,m s-1,U,2", "b,m s-1,U,2", "v,m s-1,V,2", "h,m,T,2"]}, "cn_budget_fields = 'u=a'"),
        ({"state": ["u,cm s-1,U,2", "v,m s-1,V,2", "h,m,T,2"]}, "no field at U in m s-1"),
        ({"cn_budget_fields": ["h=ssh"]}, "no 'ssh' of cn_budget_fields at T in m"),
    ],
)
def test_what_is_lacking_is_named_with_its_remedy(change, words):
    """Centimetres, a point or a level too few: nothing is converted or broadcast."""
    with pytest.raises(Lacking, match=words):
        momentum(**change)


def test_two_candidates_are_told_apart_by_the_namelist():
    state = ["a,m s-1,U,2", "b,m s-1,U,2", "v,m s-1,V,2", "h,m,T,2"]
    assert momentum(state=state, cn_budget_fields=["u=b"])["u"] == "b"
    with pytest.raises(HaloclineError, match="cn_budget_fields has the entry 'w=b'"):
        momentum(cn_budget_fields=["w=b"])


def test_coordinates_are_longitudes_on_a_sphere_and_distances_on_a_plane():
    sphere = plan(["glamu,degrees_east,U,1", "gphiu,degrees,U,1", "gphit,degrees,T,1"], True)
    plane = plan(["gphiu,km,U,1"], True)
    du = Field(id=1, name="du", units="m s-2", point="U", levels=2, direction="in")
    found = coordinates([du], dict.fromkeys(sphere.views, sphere))
    assert {name: (f.more["standard_name"], f.units) for name, f in found.items()} == {
        "glamu": ("longitude", "degrees_east"), "gphiu": ("latitude", "degrees_north")
    }  # fmt: skip
    other = coordinates([du], dict.fromkeys(plane.views, plane))
    assert other["gphiu"].more["standard_name"] == "projection_y_coordinate" and other["gphiu"].units == "km"
    assert described(du, [], 0, "time_counter: point", found).more["coordinates"] == "gphiu glamu"


def test_coordinates_bounds_and_times_are_read_by_xarray(tmp_path):
    where = [DiagnosticsField("gphiu", "degrees_north", "U", 1, "latitude of U points", {"standard_name": "latitude"})]
    field = DiagnosticsField(
        "du", "m s-2", "U", 2, "du", {"coordinates": "gphiu", "cell_methods": "time_counter: mean"}
    )
    path = tmp_path / "mean.nc"
    with create_diagnostics(path, (4, 6), [field], "0001-01-01 00:00:00", "noleap", {}, where, True) as file:
        file.put_coordinate("gphiu", np.arange(24.0).reshape(4, 6), 0, 0)
        file.record(27, 43200.0, (0.0, 86400.0))
        file.put("du", np.zeros((2, 4, 6)))
    with xr.open_dataset(path, decode_times=xr.coders.CFDatetimeCoder(use_cftime=True)) as mean:
        assert mean["time_counter"].values[0].isoformat() == "0001-01-01T12:00:00"
        assert [t.isoformat() for t in mean["time_counter_bounds"].values[0]] == [
            "0001-01-01T00:00:00",
            "0001-01-02T00:00:00",
        ]
        assert "gphiu" in mean["du"].coords and "x" not in mean.coords


def network(values, resident=None, name="net"):
    """What budgets read of a network that makes du and dv."""
    specs = [SimpleNamespace(name=n, kind="tendency", vector_pair=None) for n in ("du", "dv")]
    return SimpleNamespace(
        name=name, grid=1, period=1, inputs={}, outputs={n: Link(n) for n in ("du", "dv")}, resident=resident,
        switches=SimpleNamespace(cn_role="shadow"), stages=SimpleNamespace(values=values),
        engine=SimpleNamespace(name="onnx", device="cuda", contract=SimpleNamespace(inputs=[], outputs=specs)),
    )  # fmt: skip


def budgets(values, **change):
    """Of one network on one rank, in a basin of ones: u = v = 1, h = 10, cells of 1 m."""
    plans = [plan(["tmask,1,T,1", *METRICS], True, 1), plan(["u,m s-1,U,2", "v,m s-1,V,2", "h,m,T,2"], False, 1, 2)]
    for each in plans:
        each.stack[...] = 1.0
    plans[1].views["h"][...] = 10.0
    received = {name: p for p in plans for name in p.views}
    point = {"du": "U", "dv": "V"}
    into = {n: Field(id=9, name=n, units="m s-2", point=point[n], levels=2, direction="in") for n in values}
    made = network(values, change.pop("resident", None))
    box = Box(0, 0, GRID.nx, GRID.ny)
    return Budgets(NamDiag(**change), [made], received, into, {1: (GRID, box)}, lambda x: x)


def ones(value=1.0):
    return {n: np.full((2, GRID.ny, GRID.nx), value) for n in ("du", "dv")}


def test_the_input_is_a_mean_over_area_and_calls():
    """rho0 h (u du + v dv), 10 m deep, two levels; twice as much in every second call; nothing without a call."""
    found = budgets(ones(1e-6))
    for kt, factor in ((1, 1.0), (2, 2.0)):
        found.budgets[0].net.stages.values = ones(1e-6 * factor)
        found.add(kt)
    taken = found.take()
    assert taken["net.energy_input"] == pytest.approx(1026.0 * 10 * 2 * 2 * 1.5e-6)
    assert taken["net.energy_input.k02"] == pytest.approx(taken["net.energy_input"] / 2)
    assert np.isnan(found.take()["net.energy_input"])


def test_a_shadow_that_is_no_number_does_not_end_the_run():
    values = ones()
    values["du"][0, 1, 1] = np.nan
    found = budgets(values)
    found.add(1)
    assert np.isnan(found.take()["net.energy_input"])


def test_fields_on_a_device_stay_there_unless_asked_for():
    assert "stay on cuda" in budgets(ones(), resident=object()).missing[0]
    assert budgets(ones(), resident=object(), cn_budget="on").columns(False)
    assert not budgets(ones(), cn_budget="off").columns(False)

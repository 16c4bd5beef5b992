"""What is read of a run: namelists, networks, series, guards, time, states."""

import json

import numpy as np
import pytest

from coupler.errors import HaloclineError
from models.report import clock, head, maps, namelists, networks, output, series, surface, tendencies
from models.report.absence import Absence
from models.report.canvas import scaled, units
from models.report.folder import Folder
from tests.data.nemo_run import Run as Nemo
from tests.report.small import EVERY, STEP, coupled, markers, ocean


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return Folder(coupled(tmp_path_factory.mktemp("parts") / "run"))


def test_the_effective_namelist_has_what_is_set_and_every_default(run):
    tables = {table.heading: table for table in namelists.effective(run)}
    dom = tables["&namdom"]
    assert [value.text for value in dom.given] == ["3200"] and [value.key for value in dom.defaults] == ["rn_atfp"]
    assert tables["&namcpl"].value("nn_seed") == "7" and tables["&namcpl"].value("nn_wire") == "64"
    assert {v.key for v in tables["&namcpl"].given} == {"nn_seed"} and not tables["&nammpp"].given
    assert {"&namexc state", "&namexc tendency", "&namnet gz"} <= set(tables)


def test_only_what_two_runs_have_differently_is_a_difference(run, tmp_path):
    other = coupled(tmp_path / "other", states=2)
    text = (other / "namelist_cfg").read_text()
    assert namelists.differences(namelists.effective(run), namelists.effective(run)) == []
    (other / "namelist_cfg").write_text(text.replace("rn_clip = 1.e-6", "rn_clip = 2.e-6"))
    found = namelists.differences(namelists.effective(run), namelists.effective(Folder(other)))
    clip = next(row for row in found if row.key == "rn_clip")
    assert (clip.group, clip.mine, clip.theirs) == ("&namnet gz", "1e-06", "2e-06")
    assert {row.key for row in found} == {"rn_clip", "nn_itend"}


def test_a_network_tells_licence_citation_and_whether_its_file_is_the_runs(run, tmp_path):
    (net,) = networks.networks(run, networks.switches_of(run))
    assert net.fits and net.contract.license == "MIT" and "Guillaumin" in net.contract.citation
    other = coupled(tmp_path / "other", states=2)
    (other / "coupler.log.jsonl").write_text(
        json.dumps({"event": "start", "networks": [{"name": "gz", "sha256": "00ff"}]}) + "\n"
    )
    (net,) = networks.networks(Folder(other), networks.switches_of(Folder(other)))
    assert not net.fits and net.pin == "another file than the run loaded (00ff)"
    lost = (other / "namelist_cfg").read_text().replace("gz21_f4.onnx", "gone.onnx")
    (other / "namelist_cfg").write_text(lost)
    (net,) = networks.networks(Folder(other), networks.switches_of(Folder(other)))
    assert net.contract is None and "'gone.onnx' was not found" in net.trouble


def test_run_stat_is_read_by_its_header(run, tmp_path):
    found = series.run_stat(run)
    assert found["KE"].units == "J/m2" and found["KE"].values[0] == 5027 and found["KE"].steps[0] == 27
    (tmp_path / "run.log").touch()
    for text, words in (
        ("", "no header"),
        ("# it  KE[J/m2]\n", "no line yet"),
        (" it : 1 |ssh|_max: 2\n", "no header"),
    ):
        (tmp_path / "run.stat").write_text(text)
        with pytest.raises(HaloclineError, match=words):
            series.run_stat(Folder(tmp_path))
    (tmp_path / "run.stat").write_text("# it  KE[J/m2]\n 1 5.\n 2 ******\n 3")  # an overflow, and a line cut short
    np.testing.assert_array_equal(series.run_stat(Folder(tmp_path))["KE"].values, [5, np.nan])


def test_budgets_have_units_networks_and_levels(run):
    found = series.budgets(run)
    assert found["gz.energy_input"].units == "W m-2" and found["gz.enstrophy_input"].units == "m s-3"
    assert found["gz.enstrophy_input.k02"].values[0] == 1e-16
    match = series.BUDGET.match("gz.energy_input.k01")
    assert (match["network"], match["kind"], match["level"]) == ("gz", "energy_input", "01")
    assert series.BUDGET.match("gz.energy_input")["level"] is None


def test_guards_are_counted_by_step_and_place(run):
    found = series.guards(run)
    assert found.total == 3 and found.steps == {"gz du.range": {9: 1, 18: 2}}
    maps_of = tendencies.guard_maps(found, (14, 14))
    assert maps_of["du"][4, 2] == 2 and maps_of["du"][4, 3] == 1 and maps_of["du"].sum() == 3
    assert tendencies.guard_maps(found, (3, 3))["du"].sum() == 0  # places of another grid are not drawn


def test_rows_of_a_side_add_up_to_its_time(run, tmp_path):
    """With the phases of today's runs and with those of runs that timed fewer."""
    more = tmp_path / "more"
    more.mkdir()
    (more / "run.log").write_text("halocline: x\n")
    networks_of = {"a": {"inference": [3.0]}, "b": {"inference": [2.0]}}
    markers(more, {"guarding": [0.25], "diagnostics": [0.5], "networks": networks_of})
    for folder in (run, Folder(more)):
        found = clock.clock(folder)
        for side in ("ocean", "coupler"):
            rows = [phase for phase in found.phases if phase.side == side and not phase.part]
            assert sum(phase.middle for phase in rows) == pytest.approx(10.0)
        assert found.share("ocean", "waiting for the coupler") == pytest.approx(0.55)
    assert [phase.label for phase in found.phases if phase.part] == ["a", "b"]
    with pytest.raises(AssertionError):  # parts are contained in their sum: counted twice, they are too much
        assert sum(phase.middle for phase in found.phases if phase.side == "coupler") == pytest.approx(10.0)


def test_without_markers_the_ocean_tells_its_time(tmp_path):
    run = ocean(tmp_path / "alone", states=2)
    found = clock.clock(Folder(run))
    assert [(phase.label, phase.middle) for phase in found.phases] == [("dynamics", 7.0), ("rest", 3.0)]
    (run / "timing.output").unlink()
    with pytest.raises(HaloclineError, match="no end markers"):
        clock.clock(Folder(run))


def test_series_and_maps_of_the_states_are_those_of_their_formulas(run):
    found = output.read(run, 0.0, STEP, 1)
    mesh = found.climate.mesh
    states = next(output.open_states(run.path).pieces())
    u, v = states.u[0, 0], states.v[0, 0]
    x, y = u * 40000.0, v * 40000.0
    zeta = (np.roll(y, -1, 1) - y - np.roll(x, -1, 0) + x) / 40000.0**2
    enstrophy = 0.5 * np.mean(zeta[mesh.inner[0]] ** 2)
    np.testing.assert_allclose(found.enstrophy[0, 0], enstrophy, rtol=1e-6)
    np.testing.assert_allclose(found.tracer[0], np.mean(states.t[0] * states.h[0, 0]), rtol=1e-6)
    speed = np.sqrt(2 * 0.5 * mesh.centred_square(states.u, states.v)[:, 0])
    np.testing.assert_allclose(found.speed, speed.mean(0), rtol=1e-5)
    np.testing.assert_allclose(found.speed_rms, np.sqrt((speed**2).mean(0)), rtol=1e-5)
    assert found.time[0] == EVERY * STEP and len(found.time) == 20
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(found.speed_rms, found.speed, rtol=1e-5)


def test_skipped_days_are_left_out_of_averages_and_shown_over_time(run):
    whole, late = output.read(run), output.read(run, 50.0)
    assert late.climate.states == 10 and len(late.time) == len(whole.time) == 20
    assert "not longer than" in output.read(run, 1e4).remark and not late.remark


def test_output_that_is_not_finished_is_read_too(run, tmp_path):
    """The ocean gives its files their names at its end; a run that died leaves the parts."""
    other = ocean(tmp_path / "died", states=4)
    file = next(other.glob("*_inst.nc"))
    file.rename(f"{file}.part")
    assert output.read(Folder(other)).climate.states == 4 and len(list(other.glob("*.part"))) == 1
    (other / f"{file.name}.part").write_bytes(b"\x89HDF")
    with pytest.raises(HaloclineError, match="cannot be read"):
        output.read(Folder(other))


def test_nemo_is_mapped_whatever_its_names(tmp_path):
    nemo = Nemo()
    nemo.write(tmp_path)
    nemo.write_mesh(tmp_path)
    found = {one.title: one for one in surface.surfaces(Folder(tmp_path))}
    assert len(found) == 5
    ssh = nemo.fields["ssh"].astype(float)
    wet = nemo.mesh["tmask"][0] > 0
    np.testing.assert_allclose(found["Sea surface height"].mean[wet], ssh.mean(0)[wet], atol=1e-6)
    np.testing.assert_allclose(found["Sea surface height"].deviation[wet], ssh.std(0)[wet], atol=1e-6)
    assert np.isnan(found["Sea surface height"].mean[~wet]).all()
    for file in tmp_path.glob("*grid*"):
        file.unlink()
    with pytest.raises(HaloclineError, match="no NetCDF file"):
        surface.surfaces(Folder(tmp_path))


def test_what_is_absent_is_noted_and_a_mistake_of_ours_is_not_hidden():
    note = Absence()
    with note.of("maps"):
        raise HaloclineError("no such file")
    with note.of("series"):
        raise KeyError("column")
    assert [what for what, _ in note.rows] == ["maps", "series"] and "KeyError" in note.rows[1][1]
    with pytest.raises(NameError), note.of("page"):
        raise NameError("ours")


def test_simulated_time_and_speed(run):
    tables = namelists.effective(run)
    span = head.span(run, tables, series.run_stat(run))
    assert span.seconds == 20 * EVERY * STEP and span.year == 360 * 86400
    shown = {one.label: one for one in head.figures(span, clock.clock(run), None, None, series.guards(run), True, {})}
    assert (shown["Simulated time"].value, shown["Simulated time"].unit) == ("100", "days")
    assert float(shown["Speed"].value.replace("\u202f", "")) == pytest.approx(100 / 360 / (10 / 86400), abs=1)
    assert shown["Price of the networks"].value == "55" and shown["Guards"].value == "3"
    alone = {one.label: one for one in head.figures(span, None, None, None, None, False, {})}
    assert alone["Guards"].value == "–" and alone["Speed"].value == "–"


def test_colour_scales_hold_all_that_is_compared():
    weak, strong = (maps.Field("a", "A", "m", size * np.ones((2, 2)), "amp", "from zero") for size in (1, 9))
    assert maps.limits([weak, strong]) == (0, 9) and maps.limits([weak]) == (0, 1)
    gap = strong.minus(weak)
    assert maps.limits([gap]) == (-8, 8) and gap.scale == "symmetric"
    assert maps.limits([maps.Field("a", "A", "m", np.full((2, 2), np.nan), "amp", "between")]) == (0, 1)


def test_units_and_powers_are_written_as_people_read_them():
    assert units("cm2 s-2") == "cm² s⁻²" and units("1") == "1" and units("J/m2") == "J/m²" and units("degC m") == "°C m"
    assert scaled(np.array([3e-7])) == (pytest.approx(1e7), "10⁻⁷ ") and scaled(np.array([3.0])) == (1.0, "")

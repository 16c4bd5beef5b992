"""What a run is reduced to: the same for any cut into pieces, additive, honest about runs that blow up, small on disk."""

from dataclasses import replace

import numpy as np
import pytest

from coupler.errors import HaloclineError
from models.evaluation.climate import Climate
from models.evaluation.mesh import Mesh
from models.evaluation.scores import KEYS, scores
from models.evaluation.states import Piece
from tests.evaluation.conftest import DAY, random_states


def cut(piece, *places):
    """A piece in several."""
    parts = [getattr(piece, name) for name in ("seconds", "u", "v", "h", "t")]
    return [Piece(*(part[a:b] for part in parts)) for a, b in zip((0, *places), (*places, None), strict=True)]


def together(a, b):
    """One record of both, b after a."""
    return Piece(
        np.concatenate([a.seconds, a.seconds[-1] + b.seconds]),
        *(np.concatenate([getattr(a, name), getattr(b, name)]) for name in "uvht"),
    )


def assert_same(a, b, rtol=1e-9):
    for group in ("mean", "variance", "spectra"):
        for key, values in getattr(a, group).items():
            np.testing.assert_allclose(getattr(b, group)[key], values, rtol=rtol, atol=1e-12)
    for key, counts in a.counts.items():
        assert np.array_equal(counts, b.counts[key])
    np.testing.assert_allclose(a.ke, b.ke, rtol=rtol)


@pytest.mark.parametrize("places", [(), (1,), (7, 8, 30)])
def test_pieces_do_not_matter(mesh, piece, places):
    whole = Climate.from_states([piece], mesh)
    assert_same(whole, Climate.from_states(cut(piece, *places), mesh))
    assert whole.states == 40
    assert whole.years == pytest.approx(200 / 360)
    np.testing.assert_allclose(whole.variance["u"], piece.u.var(0))
    np.testing.assert_allclose(whole.mean["eta"], mesh.height(piece.h).mean(0))


def test_energy_is_that_of_mean_and_eddies(mesh, piece):
    climate = Climate.from_states([piece], mesh)
    area = climate.mke.mean((1, 2)) + climate.eke.mean((1, 2))
    np.testing.assert_allclose(area, climate.ke.mean(0), rtol=1e-10)


def test_the_joint_climate_is_that_of_one_long_record(mesh, piece):
    """Variances are about the joint mean; the mean of both variances misses the distance of the means."""
    other = random_states(mesh, 25, seed=8, speed=0.2)
    a, b = Climate.from_states([piece], mesh), Climate.from_states([other], mesh)
    joint = Climate.joint([a, b])
    assert_same(Climate.from_states([together(piece, other)], mesh), joint)
    assert joint.years == pytest.approx(a.years + b.years)
    mean_of_variances = (40 * a.variance["u"] + 25 * b.variance["u"]) / 65
    assert np.abs(joint.variance["u"] - mean_of_variances).max() > 1e-4


def test_a_start_can_be_skipped(mesh, piece):
    """Days count from the first state; what is skipped still counts for the stability."""
    climate = Climate.from_states(cut(piece, 4), mesh, skip=50.0)
    assert climate.states == 30
    assert_same(climate, Climate.from_states([cut(piece, 10)[1]], mesh))
    assert climate.stability.reached == 39 * 5 * DAY


@pytest.mark.parametrize("bad", [np.nan, np.inf, 50.0])
def test_a_run_that_blows_up_ends_there(mesh, piece, bad):
    """The climate is that of the states before; nothing is raised; a run without the check would average the bad value."""
    piece.u[12, 1, 3, 4] = bad
    climate = Climate.from_states(cut(piece, 5), mesh)
    assert climate.states == 12
    assert not climate.stability.stable
    assert climate.stability.reached == 11 * 5 * DAY
    assert_same(climate, Climate.from_states([cut(piece, 12)[0]], mesh))
    assert not np.abs(piece.u.mean(0)).max() < 1


def test_a_layer_that_is_gone_is_a_blow_up(mesh, piece):
    piece.h[3, 0, 0, 0] = -1.0
    assert Climate.from_states([piece], mesh).states == 3


def test_a_run_without_a_good_state_has_scores_that_are_no_numbers(mesh, piece):
    truth = Climate.from_states([piece], mesh)
    broken = Piece(piece.seconds, np.full_like(piece.u, np.nan), piece.v, piece.h, piece.t)
    for run in (Climate.from_states([broken], mesh), Climate.from_states([piece], mesh, skip=9999.0)):
        values = scores(run, truth)
        assert values["years"] == 0
        assert all(np.isnan(values[key]) for key in KEYS if key != "years")
    assert Climate.joint([run, truth]).states == truth.states


def test_a_file_brings_it_back(mesh, piece, tmp_path):
    climate = Climate.from_states([piece], mesh, name="a run", ended="stopped: x")
    path = climate.save(tmp_path / "new" / "a.npz")
    again = Climate.load(path)
    assert_same(climate, again, rtol=1e-6)
    assert (again.name, again.states, again.stability) == ("a run", 40, climate.stability)
    assert [file.name for file in path.parent.iterdir()] == ["a.npz"]
    assert scores(again, climate)["eta_rmse"] < 1e-4
    other = replace(again, mean={**again.mean, "eta": again.mean["eta"] + 0.01})
    assert scores(other, climate)["eta_rmse"] == pytest.approx(1.0)  # cm


def test_thirty_years_are_small(tmp_path):
    """Random numbers do not compress: real fields are smaller. Double precision would not fit."""
    mesh = Mesh.closed(48, 48, 40000.0)
    few = Climate.from_states([random_states(mesh, 20)], mesh)
    days = 5 * DAY * np.arange(2160.0)
    long = replace(few, time=days, ke=np.random.default_rng(0).random((2160, 2)))
    assert long.save(tmp_path / "a.npz").stat().st_size < 300_000
    maps = sum(values.size for group in (few.mean, few.variance) for values in group.values())
    assert 8 * (maps + long.ke.size + long.time.size) > 300_000


def test_files_that_are_none(mesh, piece, tmp_path):
    (tmp_path / "text.npz").write_text("no numpy file")
    with pytest.raises(HaloclineError, match="cannot be read as a climate"):
        Climate.load(tmp_path / "text.npz")
    np.savez(tmp_path / "else.npz", speed=np.ones(3))
    with pytest.raises(HaloclineError, match="holds speed"):
        Climate.load(tmp_path / "else.npz")
    np.savez(tmp_path / "objects.npz", halocline_climate=np.array([{}], dtype=object))
    with pytest.raises(HaloclineError):  # a pickle is never loaded
        Climate.load(tmp_path / "objects.npz")


def test_grids_that_differ_are_refused(mesh, piece):
    truth = Climate.from_states([piece], mesh)
    other = Mesh.closed(10, 12, 40000.0)
    with pytest.raises(HaloclineError, match="12 x 10 cells and 2 layers, 'run' 12 x 12 and 2"):
        scores(Climate.from_states([random_states(other, 3)], other), truth)
    heavier = replace(mesh, gred=2 * mesh.gred)
    with pytest.raises(HaloclineError, match="rn_gred"):
        Climate.joint([truth, Climate.from_states([piece], heavier)])
    with pytest.raises(HaloclineError, match="at least one"):
        Climate.joint([])


def test_residual_tendencies_give_power_and_transfer(mesh, piece):
    drag = 1e-7
    fed = replace(piece, du=-drag * piece.u, dv=-drag * piece.v)
    climate = Climate.from_states([fed], mesh)
    np.testing.assert_allclose(climate.spectra["transfer"], -2 * drag * climate.spectra["ke"], rtol=1e-8)
    assert (climate.power < 0).all()
    assert "transfer" not in Climate.from_states([piece], mesh).spectra

"""The columns of the tables against numbers worked out by hand, and the noise floor."""

from dataclasses import replace

import numpy as np
import pytest

from models.evaluation.climate import Climate
from models.evaluation.scores import COLUMNS, KEYS, expected_floor, floor, scores
from models.evaluation.states import Piece
from tests.evaluation.conftest import random_states


@pytest.fixture
def truth(mesh, piece):
    return Climate.from_states([piece], mesh)


def changed(climate, **means):
    """A climate with other mean maps."""
    return replace(climate, mean={**climate.mean, **means})


def test_the_truth_is_perfect(truth):
    values = scores(truth, truth, None, 5, 3)
    assert tuple(values) == KEYS
    for column in COLUMNS:
        if not isinstance(column.best, str):
            assert values[column.key] == pytest.approx(column.best, abs=1e-9)


def test_units_of_errors(truth):
    """1 m more of layer 1 lifts the surface by 2 x 0.008 / 9.81 m = 0.1631 cm; 1 cm/s is 1; 1 K is 1."""
    h = truth.mean["h"].copy()
    h[0] += 1.0
    run = changed(
        truth, h=h, eta=truth.mesh.height(h), t=truth.mean["t"] + 1.0, u=truth.mean["u"] + 0.01 * truth.mesh.umask
    )
    values = scores(run, truth)
    assert values["h1_rmse"] == pytest.approx(1.0)
    assert values["h2_rmse"] == 0
    assert values["eta_rmse"] == pytest.approx(100 * 2 * 0.008 / 9.81)
    assert values["t_rmse"] == pytest.approx(1.0)
    assert values["u1_rmse"] == pytest.approx(1.0)
    everywhere = 100 * np.sqrt(np.mean((run.mean["u"][0] - truth.mean["u"][0]) ** 2))
    assert everywhere < 0.99  # twin: the walls counted as water


def test_energies_of_two_states(mesh):
    """u = +-a on all wet faces: no mean, an eddy energy of a^2 / 2 away from the walls; in 1e-4 m2/s2."""
    a = 0.2
    u = a * mesh.umask * np.array([1.0, -1.0])[:, None, None, None]
    h = np.full(u.shape, 500.0)
    piece = Piece(86400.0 * np.arange(2), u, 0 * u, h, h[:, 0])
    values = scores(*(Climate.from_states([piece], mesh),) * 2)
    wet = (12 - 1) / 12  # the cells at both walls have half
    assert values["eke1"] == pytest.approx(1e4 * 0.5 * a**2 * wet)
    assert values["mke1"] == 0
    assert values["ke1"] == values["eke1"]
    assert values["sd_eta"] == 0


def test_sd_of_the_surface(mesh):
    """+- 1 m of layer 2, whose surface follows by 0.008 / 9.81: a standard deviation of that."""
    h = 500.0 + np.array([1.0, -1.0])[:, None, None, None] * np.array([0.0, 1.0])[:, None, None] * mesh.tmask
    piece = Piece(86400.0 * np.arange(2), 0 * h, 0 * h, h, h[:, 0])
    run = Climate.from_states([piece], mesh)
    assert scores(run, run)["sd_eta"] == pytest.approx(100 * 0.008 / 9.81)
    calm = replace(run, variance={key: 0 * values for key, values in run.variance.items()})
    values = scores(calm, run)
    assert (values["sd_eta"], values["sd_rmse"]) == (0, pytest.approx(100 * 0.008 / 9.81))


def test_eddies_are_those_about_the_own_mean(mesh, piece, truth):
    """A steady current on top changes MKE and KE, not EKE; deviations from the truth's mean would make eddies of it."""
    current = 0.3 * mesh.umask
    run = Climate.from_states([replace(piece, u=piece.u + current)], mesh)
    mine, theirs = scores(run, truth), scores(truth, truth)
    assert mine["eke1"] == pytest.approx(theirs["eke1"])
    assert mine["mke1"] > theirs["mke1"] + 100
    about_truth = 1e4 * 0.5 * np.mean((piece.u + current - piece.u.mean(0)) ** 2)
    assert about_truth > mine["eke1"] + 100


def test_the_pattern_of_eddies_is_not_their_size(truth):
    stronger = replace(truth, variance={**truth.variance, "u": 3 * truth.variance["u"], "v": 3 * truth.variance["v"]})
    assert scores(stronger, truth)["r_eke"] == pytest.approx(1)
    turned = replace(
        truth, variance={**truth.variance, "u": truth.variance["u"][:, ::-1], "v": truth.variance["v"][:, ::-1]}
    )
    assert scores(turned, truth)["r_eke"] < 0.9


def test_spectrum_scores_are_of_layer_one(truth):
    lines = truth.spectra["ke"] * np.array([[1.0], [5.0]])
    assert scores(replace(truth, spectra={**truth.spectra, "ke": lines}), truth)["logspec"] == pytest.approx(0)
    lines = truth.spectra["ke"] * np.array([[2.0], [1.0]])
    values = scores(replace(truth, spectra={**truth.spectra, "ke": lines}), truth, None, 5, 3)
    assert values["logspec"] == pytest.approx(np.log10(2))
    assert values["tail"] == pytest.approx(2)


def test_the_floor_is_each_truth_against_the_other(mesh):
    a, b = (Climate.from_states([random_states(mesh, 50, seed)], mesh) for seed in (1, 2))
    first, second = floor([a, b], 5, 3)
    for key in ("eta_rmse", "h1_rmse", "u1_rmse", "t_rmse", "logspec", "r_eke"):
        assert first[key] == pytest.approx(second[key])
    assert first["tail"] == pytest.approx(1 / second["tail"])
    assert floor([a]) == []
    assert np.isnan(scores(a, b)["tail"])  # 12 cells have no wavenumber 9
    against_joint = scores(a, Climate.joint([a, b]))
    assert against_joint["eta_rmse"] == pytest.approx(0.5 * first["eta_rmse"])  # twin: half the floor, for a is in it


def test_expected_floor():
    """20 years against 2 x 30 are as uncertain as 30 against 30; a short run is worse. And noise follows it."""
    assert expected_floor(1.0, 20, [30, 30]) == pytest.approx(1)
    assert expected_floor(1.0, 5, [30, 30]) == pytest.approx(np.sqrt(0.2 + 1 / 60) / np.sqrt(1 / 15))
    draw = np.random.default_rng(0)
    a, b, run = (draw.standard_normal((n, 4000)).mean(0) for n in (30, 30, 5))
    rms = [np.sqrt(np.mean(values**2)) for values in (a - b, run - (a + b) / 2)]
    assert expected_floor(rms[0], 5, [30, 30]) == pytest.approx(rms[1], rel=0.05)
    assert rms[0] != pytest.approx(rms[1], rel=0.3)

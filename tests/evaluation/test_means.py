"""Area means, energies, SSH and vorticity against numbers worked out by hand."""

import numpy as np
import pytest

from models.evaluation import means
from models.evaluation.mesh import Mesh
from tests.evaluation.conftest import random_states


def test_a_mean_has_the_areas_as_weights_and_leaves_land_out():
    values, weight = np.array([[1.0, 3.0], [np.nan, 5.0]]), np.array([[1.0, 1.0], [0.0, 2.0]])
    assert means.weighted_mean(values, weight) == (1 + 3 + 10) / 4
    assert not np.isfinite(means.weighted_mean(values, np.ones((2, 2))))  # with the land in it


def test_energy_at_a_cell_is_the_mean_of_the_squares_on_its_faces():
    """Two cells, u = 2 m/s between them: each has (2^2 + 0^2) / 2 of u^2, hence 1 m2/s2."""
    mesh = Mesh.closed(1, 2, 1.0, (0.008,))
    u, v = np.array([[[2.0, 0.0]]]), np.zeros((1, 1, 2))
    assert means.kinetic_energy(u, v, mesh).tolist() == [[[1.0, 1.0]]]
    one_face = 0.5 * u**2
    assert one_face.tolist() != [[[1.0, 1.0]]]  # twin: the face taken for the cell


def test_energy_along_j_uses_the_face_to_the_south():
    mesh = Mesh.closed(2, 1, 1.0, (0.008,))
    u, v = np.zeros((1, 2, 1)), np.array([[[2.0], [0.0]]])
    assert means.kinetic_energy(u, v, mesh).ravel().tolist() == [1.0, 1.0]


def test_mean_and_eddies_have_the_whole_energy(mesh, piece):
    """MKE + EKE = <KE>; with the deviations from another run's mean they have not."""
    mke, eke = means.mean_and_eddy(piece.u, piece.v, mesh)
    whole = means.kinetic_energy(piece.u, piece.v, mesh).mean(0)
    np.testing.assert_allclose(mke + eke, whole, rtol=1e-12)
    other = random_states(mesh, 40, seed=9, speed=0.3)
    wrong = means.kinetic_energy(piece.u - other.u.mean(0), piece.v - other.v.mean(0), mesh).mean(0)
    assert np.abs(mke + wrong - whole).max() > 1e-3


def test_pattern_correlation():
    weight = np.ones((1, 4))
    a = np.array([[1.0, 2.0, 3.0, 4.0]])
    assert means.correlation(a, 7 + 2 * a, weight) == pytest.approx(1)
    assert means.correlation(a, -a, weight) == pytest.approx(-1)
    assert means.correlation(a, np.array([[1.0, -1.0, -1.0, 1.0]]), weight) == pytest.approx(0)
    assert means.weighted_mean(a * (7 + 2 * a), weight) != pytest.approx(1)  # twin: not centred
    assert np.isnan(means.correlation(a, np.ones((1, 4)), weight))


def test_height_of_resting_layers():
    """(0.008 * 500 + 0.008 * (500 + 750)) / 9.81 = 1.42712 m."""
    mesh = Mesh.closed(2, 3, 1.0)
    h = np.broadcast_to(np.array([500.0, 750.0])[:, None, None], (2, 2, 3))
    np.testing.assert_allclose(mesh.height(h), 1.427115, rtol=1e-6)
    own_layers_only = np.einsum("k,kji->ji", mesh.gred, h) / 9.81
    assert np.abs(own_layers_only - 1.427115).min() > 0.1


def test_vorticity_of_solid_rotation():
    """u = -W y, v = W x has 2 W between wet faces, and nothing is said on the walls."""
    n, dx, rate = 6, 1000.0, 1e-5
    mesh = Mesh.closed(n, n, dx, (0.008,))
    y, x = np.meshgrid(dx * np.arange(n), dx * np.arange(n), indexing="ij")
    u, v = -rate * y[None], rate * x[None]  # rows of U lie at T's y, columns of V at T's x
    zeta = mesh.vorticity(u, v)
    np.testing.assert_allclose(zeta[0, :-1, :-1], 2 * rate, rtol=1e-9)
    assert not zeta[0, -1].any() and not zeta[0, :, -1].any()
    assert (
        np.abs(mesh.vorticity(-u, v)[0, :-1, :-1]).max() < 1e-12
    )  # twin: one sign wrong, and the rotation is a strain

"""Spectra: where the energy lies, what they sum to, what is scored of them."""

import numpy as np
import pytest

from models.evaluation import energetics, means, spectra
from models.evaluation.mesh import Mesh

N = 32


def wave(k, n=N):
    """cos(2 pi k x) along i."""
    return np.broadcast_to(np.cos(2 * np.pi * k * (np.arange(n) + 0.5) / n), (n, n))


@pytest.mark.parametrize("k", [3, 7, 12])
def test_a_wave_lies_in_its_shell_and_has_its_energy(k):
    """The variance of a cosine is 1/2; the window spreads it over the next shells. Counting each column once gives half."""
    spectrum = spectra.cross_spectrum(wave(k), wave(k))
    assert spectrum.argmax() == k
    assert spectrum[k - 1 : k + 2].sum() > 0.97 * spectrum.sum()
    assert spectrum.sum() == pytest.approx(0.5, rel=0.05)
    shell, _, window = spectra._shells(N, N, 1.0, 1.0)
    once = np.abs(np.fft.rfft2(wave(k) * window)) ** 2 / (np.mean(window**2) * N**4)
    assert once.sum() == pytest.approx(0.25, rel=0.05)
    assert shell[0, k] == k


def test_the_sum_is_the_windowed_mean_square():
    """Parseval, for a field without wavenumbers beyond the last shell."""
    draw = np.random.default_rng(1)
    coefficients = np.zeros((N, N), complex)
    coefficients[:8, :8] = draw.standard_normal((8, 8)) + 1j * draw.standard_normal((8, 8))
    field = np.fft.ifft2(coefficients).real
    field -= field.mean()
    _, _, window = spectra._shells(N, N, 1.0, 1.0)
    spectrum = spectra.cross_spectrum(field, field)
    assert spectrum.sum() == pytest.approx(np.mean(window**2 * field**2) / np.mean(window**2), rel=1e-10)


def test_directions_share_a_shell_and_sides_may_differ():
    """Cycles are those of the longer side: the same wavelength lies in the same shell along either."""
    along_i = wave(6)[:16]
    along_j = np.broadcast_to(wave(6)[0][:16, None], (16, N))
    assert spectra.cross_spectrum(along_i, along_i).argmax() == spectra.cross_spectrum(along_j, along_j).argmax() == 6
    assert len(spectra.cross_spectrum(along_i, along_i)) == 16 // 2 + 1


def test_drag_takes_energy_from_every_scale(mesh, piece):
    """S = -r u: T(k) = -2 r E(k) and P = -2 r h KE, exactly; with the sign wrong it would feed."""
    u, v, h, drag = piece.u, piece.v, piece.h, 1e-7
    energy = spectra.energy_spectrum(u, v, mesh)
    np.testing.assert_allclose(
        spectra.transfer_spectrum(u, v, -drag * u, -drag * v, mesh), -2 * drag * energy, rtol=1e-9
    )
    power = energetics.power(u, v, h, -drag * u, -drag * v, mesh)
    np.testing.assert_allclose(power, -2 * drag * h * means.kinetic_energy(u, v, mesh), rtol=1e-9)
    assert (spectra.transfer_spectrum(u, v, drag * u, drag * v, mesh)[..., 1:] > 0).all()


def test_scores_of_spectra():
    """Twice too much everywhere: log10(2) and 2; the natural logarithm would say 0.69."""
    truth = np.arange(1.0, 25.0) ** -3.0
    assert spectra.log_error(2 * truth, truth, 1, 16) == pytest.approx(np.log10(2))
    assert spectra.log_error(truth, truth, 1, 16) == 0
    assert spectra.log_error(2 * truth, truth, 1, 16) != pytest.approx(np.log(2))
    tail = truth.copy()
    tail[9:17:2], tail[10:17:2] = tail[9:17:2] * 4, tail[10:17:2] / 4
    assert spectra.tail_ratio(tail, truth, 9, 16) == pytest.approx(1)
    assert np.mean(tail[9:17] / truth[9:17]) > 2  # twin: the arithmetic mean sees an excess
    assert spectra.tail_ratio(0.5 * truth, truth, 9, 16) == pytest.approx(0.5)


def test_zero_crossing():
    assert spectra.zero_crossing(np.array([9.0, 2.0, 1.0, -1.0, -2.0])) == 2.5
    assert np.isnan(spectra.zero_crossing(np.array([-1.0, 2.0, 1.0])))  # k = 0 does not count


def test_enstrophy_is_that_of_the_vorticity():
    mesh = Mesh.closed(N, N, 1000.0, (0.008,))
    u = np.zeros((1, N, N))
    v = (0.1 * wave(4) * mesh.vmask)[:1]
    spectrum = spectra.enstrophy_spectrum(u, v, mesh)[0]
    assert spectrum.argmax() == 4
    expected = 0.5 * 0.5 * (0.1 * 2 * np.pi * 4 / (N * 1000.0)) ** 2
    assert spectrum.sum() == pytest.approx(expected, rel=0.1)

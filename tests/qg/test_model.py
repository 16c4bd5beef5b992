"""The two-layer model: its waves grow as theory says, it conserves, its derivatives are exact."""

from dataclasses import dataclass, replace

import pytest
import torch

from models.qg import linear
from models.qg.coarse import Coarsening, cut, refined, residual
from models.qg.diagnostics import Diagnostics, growth_rate
from models.qg.model import Model
from models.qg.parameters import REGIMES, Parameters

EDDY, JET = (
    Parameters(delta=regime["rn_delta"], beta=regime["rn_beta"], rek=regime["rn_rek"]) for regime in REGIMES.values()
)
QUIET = replace(EDDY, u1=0.0, u2=0.0, rek=0.0)
DAY = 86400.0


def smooth(model: Model, top: float, amplitude: float = 1e-5, seed: int = 3) -> torch.Tensor:
    """Random q of waves up to `top` of the Nyquist wavenumber, mean zero."""
    spectrum = model.to_spectral(model.noise(amplitude, [seed])[0])
    kept = model.wavenumber * model.parameters.length / model.n <= top * torch.pi
    return model.to_physical(spectrum * kept * (model.wavenumber > 0))


@dataclass(frozen=True)
class OtherSign(Parameters):
    """Layers that are coupled with the wrong sign of stretching between them."""

    @property
    def f2(self) -> float:
        return -self.delta * self.f1


def measured(parameters: Parameters, mode: linear.Mode, n: int = 24) -> float:
    """Growth rate of a wave in a run from noise of 1e-12 s-1, so weak that waves do not meet."""
    model = Model(parameters, n, DAY)
    return growth_rate(model, model.noise(1e-12, [5]), mode.k, mode.l, int(3.0 / mode.growth / DAY), 200)


@pytest.mark.parametrize("parameters", [replace(EDDY, rek=0.0), EDDY, JET], ids=["eddy, no drag", "eddy", "jet"])
def test_the_fastest_wave_grows_as_theory_says(parameters):
    """Within 2 % of the dispersion relation."""
    mode = linear.fastest(parameters, 24)
    assert measured(parameters, mode) == pytest.approx(mode.growth, rel=0.02)


BROKEN = {
    "other sign": lambda p: OtherSign(**vars(p)),
    "other depths": lambda p: replace(p, delta=2 * p.delta),
    "no beta": lambda p: replace(p, beta=0.0),
    "drag": lambda p: replace(p, rek=1e-7),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_model_with_other_physics_grows_otherwise(name):
    """The same measure, 2 %, refuses it."""
    parameters = replace(EDDY, rek=0.0)
    mode = linear.fastest(parameters, 24)
    assert measured(BROKEN[name](parameters), mode) != pytest.approx(mode.growth, rel=0.02)


def test_the_eigenvalues_are_those_of_the_closed_formula():
    """Without drag, for every wave; the fastest is the fastest."""
    parameters, unit = replace(EDDY, rek=0.0), 2 * torch.pi / EDDY.length
    waves = [(i, j) for i in range(1, 12) for j in range(12)]
    rates = {wave: linear.growth(parameters, wave[0] * unit, wave[1] * unit).real for wave in waves}
    for (i, j), rate in rates.items():
        assert rate == pytest.approx(linear.inviscid(parameters, i * unit, j * unit), abs=1e-14)
    mode = linear.fastest(parameters, 24)
    assert (mode.k, mode.l) == max(rates, key=rates.get)
    assert all(linear.inviscid(replace(parameters, u1=0.0), i * unit, j * unit) == 0 for i, j in waves)


def change(model: Model, q: torch.Tensor, quantity) -> float:
    """Rate of change of an invariant [its unit per second] times a day, over its value."""
    value, rate = torch.func.jvp(quantity, (q,), (model.tendency(q),))
    return float((rate.abs() / value).max() * DAY)


def test_energy_and_enstrophy_are_conserved():
    """To rounding, by the rate that the model computes. Enstrophy not with aliased products (waves beyond 2/3 of the grid's),
    energy not with drag.
    """
    model = Model(QUIET, 32, 3600.0)
    q, one = smooth(model, 0.6), Diagnostics(model)
    flat = Model(replace(QUIET, beta=0.0), 32, 3600.0)
    assert change(model, q, one.energy) < 1e-12
    assert change(flat, q, Diagnostics(flat).enstrophy) < 1e-12
    assert change(flat, smooth(flat, 2.0), Diagnostics(flat).enstrophy) > 1e-6
    dragged = Model(replace(QUIET, rek=EDDY.rek), 32, 3600.0)
    assert change(dragged, q, Diagnostics(dragged).energy) > 1e-3


def test_a_run_of_large_waves_keeps_its_energy():
    """1e-6 over 10 days, the filter included; the sheared flow gives its waves energy."""
    errors = []
    for parameters in (QUIET, replace(QUIET, u1=EDDY.u1)):
        model = Model(parameters, 48, 3600.0)
        one, q = Diagnostics(model), smooth(model, 0.15, 1e-6)
        with torch.no_grad():
            errors.append(abs(float(one.energy(model.after(q, 240)) / one.energy(q)) - 1.0))
    assert errors[0] < 1e-6
    assert errors[1] > 1e-3


def test_the_step_is_of_fourth_order():
    """Half the step, a sixteenth of the error; an Euler step is not."""
    model, start = Model(EDDY, 32, 1.0), None
    ends = {}
    for dt in (28800.0, 14400.0, 1800.0):
        model = Model(EDDY, 32, dt)
        model.filter = torch.ones_like(model.filter)
        start = smooth(model, 0.3) if start is None else start
        with torch.no_grad():
            ends[dt] = model.after(start, int(5 * DAY / dt))
    one, two = (float((ends[dt] - ends[1800.0]).norm()) for dt in (28800.0, 14400.0))
    assert 12 < one / two < 20


def test_tangent_linear_and_adjoint_agree():
    """<M x, y> = <x, M* y> to 1e-12 over ten steps; the adjoint of another state is another."""
    model = Model(EDDY, 16, 21600.0)
    q, other, x, y = model.noise(1e-5, [1, 2, 3, 4])

    def run(state):
        return model.after(state, 10)

    tangent = torch.func.jvp(run, (q,), (x,))[1]
    products = [float((torch.func.vjp(run, state)[1](y)[0] * x).sum()) for state in (q, other)]
    wanted = float((tangent * y).sum())
    assert products[0] == pytest.approx(wanted, rel=1e-12)
    assert products[1] != pytest.approx(wanted, rel=1e-3)


def test_diagnostics_are_means_over_the_square():
    """Energy of a layer as of its velocities; spectra sum up to it; q is what its stream function says."""
    model = Model(EDDY, 24, 3600.0)
    q, one = smooth(model, 0.9), Diagnostics(model)
    u, v = model.velocity(q)
    kinetic = 0.5 * (u.square() + v.square()).mean(dim=(-2, -1))
    assert torch.allclose(one.kinetic(q), kinetic, rtol=1e-12)
    assert torch.allclose(one.kinetic_spectrum(q).sum(dim=-1), kinetic, rtol=1e-12)
    assert torch.allclose(one.enstrophy_spectrum(q).sum(dim=-1), 0.5 * q.square().mean(dim=(-2, -1)), rtol=1e-12)
    assert torch.allclose(
        one.free_square(smooth(model, 0.6)), smooth(model, 0.6).square().mean(dim=(-2, -1)), rtol=1e-12
    )
    assert (
        one.free_square(q - smooth(model, 0.65)) < 1e-12 * one.free_square(q)
    ).all()  # what the filter acts on is not seen
    psi, p = model.stream_function(model.to_spectral(q)), EDDY
    back = torch.stack([-(model.wavenumber**2) * psi[m] + f * (psi[1 - m] - psi[m]) for m, f in ((0, p.f1), (1, p.f2))])
    assert torch.allclose(model.to_physical(back), q, rtol=1e-10, atol=1e-18)
    assert p.f1 + p.f2 == pytest.approx(p.rd**-2)
    assert p.share[0] * p.f1 == pytest.approx(p.share[1] * p.f2)  # potential energy belongs to both layers


def test_a_cut_keeps_the_waves_that_both_grids_have():
    """Fields of large waves are the same on both grids; fine waves do not fold onto coarse ones, as with every third point."""
    fine, coarse = Model(EDDY, 48, 3600.0), Model(EDDY, 16, 3600.0)
    large, rough = smooth(fine, 0.2), smooth(fine, 1.5)
    cut_down = coarse.to_physical(cut(fine.to_spectral(large), 48, 16))
    assert torch.allclose(cut_down, large[..., ::3, ::3], atol=1e-18)
    assert torch.allclose(refined(cut_down, 48), large, atol=1e-18)
    for kind in ("spectral", "gaussian"):
        once = Coarsening(fine, coarse, kind)
        assert torch.allclose(once(rough), once(refined(coarse.to_physical(cut(fine.to_spectral(rough), 48, 16)), 48)))
        assert float(once(rough).std()) < 0.9 * float(rough[..., ::3, ::3].std())
    gaussian, spectral = (
        Diagnostics(coarse).enstrophy(Coarsening(fine, coarse, kind)(rough)) for kind in ("gaussian", "spectral")
    )
    assert (gaussian < spectral).all()


def test_the_residual_closes_a_step():
    """But for the filter, the step with S is the next record; with the residual of another record it is not."""
    fine, coarse = Model(EDDY, 48, 3600.0), Model(EDDY, 16, 7200.0)
    coarsening = Coarsening(fine, coarse, "spectral")
    coarse.filter = torch.ones_like(coarse.filter)
    with torch.no_grad():
        states = [smooth(fine, 0.5)]
        for _ in range(2):
            states.append(fine.after(states[-1], 2))
        one, two, three = (coarsening(q) for q in states)
        lacking, other = residual(coarse, one, two), residual(coarse, two, three)
        assert torch.allclose(coarse.step(one, lacking), two, rtol=1e-12, atol=1e-18)
        assert not torch.allclose(coarse.step(one, other), two, rtol=1e-3, atol=1e-9)
        assert float((coarse.step(one) - two).norm()) > 0

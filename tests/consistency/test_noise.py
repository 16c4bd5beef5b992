"""Stochastic networks in coupled runs: noise belongs to the cell, not to the rank, and survives a restart."""

import numpy as np
import pytest

from tests.consistency import networks as nets
from tests.consistency.conftest import SPINUP, same_bits

KINDS = {
    "white": {},
    "ar1": {"cn_noise": "ar1", "rn_noise_time": 9600.0},
    "hold": {"cn_noise": "hold", "rn_noise_time": 7200.0, "cn_noise_levels": "shared"},
}
DRIFT = {"namrun": {"nn_stock": SPINUP + 5}}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return nets.write(tmp_path_factory.mktemp("nets"), noisy=nets.NOISY, drawn=nets.DRAWN, filter=nets.FILTER)


def noisy(kind="white", seed=7, member=0, restart="", **more):
    cpl = {"nn_seed": seed, "nn_member": member, "cn_rst_in": restart}
    return nets.groups({"cn_name": "noisy", **KINDS[kind], **more}, cpl=cpl)


@pytest.mark.parametrize(
    ("kind", "boundary"),
    [
        ("white", "fold_T"),
        ("ar1", "fold_T"),
        ("hold", "closed"),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in [("white", "closed"), ("ar1", "closed"), ("hold", "fold_T")]
        ),
    ],
)
def test_noise_has_the_same_bits_in_every_layout(zb20_run, files, kind, boundary):
    one, other = (
        zb20_run(noisy(kind), boundary=boundary, link=files, ocean=a, coupler=b, steps=5) for a, b in [(1, 1), (2, 3)]
    )
    same_bits(one.restart(SPINUP + 5), other.restart(SPINUP + 5))


@pytest.mark.parametrize("kind", KINDS)
def test_a_stochastic_run_continues_from_its_restart(zb20_run, files, kind):
    """N = N/2 + restart + N/2, bit for bit, on another number of ranks; without the coupler's restart 'ar1' is another run."""
    last, half = SPINUP + 10, SPINUP + 5
    whole = zb20_run(noisy(kind), DRIFT, link=files, steps=10, coupler=2)
    restart, ours = (whole.folder / f"{name}_{half:08d}_restart.nc" for name in ("TEST", "halocline"))
    rest = {"namrun": {"nn_it000": half + 1, "nn_itend": last, "cn_ocerst_in": restart.name}}
    second = zb20_run(noisy(kind, restart=ours.name), rest, link=(*files, restart, ours), coupler=3)
    same_bits(whole.restart(last), second.restart(last))
    if kind == "ar1":
        forgetful = zb20_run(noisy(kind), rest, link=(*files, restart))
        with pytest.raises(AssertionError, match="differs"):
            same_bits(whole.restart(last), forgetful.restart(last))


def test_seed_member_and_factor(zb20_run, files):
    """Another seed or member is another noise; factor 0 is the mean; the spread is that of 1/std."""

    def first(**more):
        run = zb20_run(noisy(**more), link=files, steps=1)
        return run.diagnostics()["du"].values[0]

    mean, base, seed, member = first(rn_noise=0.0), first(), first(seed=8), first(member=1)
    assert (base != seed).any() and (base != member).any() and (seed != member).any()
    wet = base != 0
    spread = (base - mean)[wet]
    # Means of two neighbours of std 1e-8 / (1 + |u|): 0.7e-8 and less.
    assert 0.5e-8 < spread.std() < 0.75e-8 and abs(spread.mean()) < 5 * spread.std() / np.sqrt(wet.sum())
    doubled = first(rn_noise=2.0)
    np.testing.assert_allclose((doubled - mean)[wet], 2 * spread, rtol=1e-9)


def test_a_graph_may_read_noise_and_calendar(zb20_run, files):
    one, other = (
        zb20_run(nets.groups({"cn_name": "drawn"}), link=files, ocean=a, coupler=b, steps=3)
        for a, b in [(1, 1), (2, 2)]
    )
    same_bits(one.restart(SPINUP + 3), other.restart(SPINUP + 3))
    assert "noise: ensemble, white" in one.text


def test_noise_of_a_network_without_any_is_refused(zb20_run, files):
    done = zb20_run(nets.groups({"cn_name": "filter", "cn_noise": "white"}), link=files, ok=False)
    assert "network 'filter' is not stochastic" in done.text or "is not connected" in done.text
    done = zb20_run(noisy(cn_noise="hold", rn_noise_time=3000.0), link=files, ok=False)
    assert "a multiple of the network's period, 2400 s" in done.text

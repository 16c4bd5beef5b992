"""Guards in coupled runs: a bad number never reaches the ocean, under every policy, in every layout."""

import json
import re

import numpy as np
import pytest
import xarray as xr

from tests.consistency import networks as nets
from tests.consistency.conftest import SPINUP, same_bits

BAD = SPINUP + 3
POLICIES = ["clip", "zero", "hold", "fallback"]


@pytest.fixture(scope="module")
def files(tmp_path_factory, spun_up):
    """`fast` goes wrong where the surface current is strong: the same cells in every layout."""
    with xr.open_dataset(spun_up(), decode_times=False) as restart:
        fastest = float(restart["ub"].values[0].max())
    return nets.write(
        tmp_path_factory.mktemp("nets"),
        failing=nets.failing(BAD),
        large=nets.failing(BAD, "1.0"),
        fast=nets.failing(BAD, where='[inner(inputs["u"])[0] > 0.8 * FASTEST]').replace("FASTEST", str(fastest)),
        filter=nets.FILTER,
        calm=nets.CALM,
        spare=nets.network(
            "spare", nets.UV, nets.RATES, ['return {"d" + n: 0.5e-6 * laplacian(inputs[n]) for n in "uv"}']
        ),
    )


def guarded(policy, name="failing", diag=None, **more):
    first = {"cn_name": name, "cn_policy": policy, **more}
    spare = [{"cn_name": "spare", "cn_role": "standby"}] if policy == "fallback" and "cn_fallback" in more else []
    return nets.groups(first, *spare, diag=diag)


def test_stop_names_the_place(zb20_run, files):
    done = zb20_run(guarded("stop"), link=files, ok=False)
    assert f"returned nan in 'du' at (i,j,k) = (3,4,1), step {BAD}" in done.text
    assert "halocline.guard" in done.text or "another artefact" in done.text


@pytest.mark.parametrize("policy", POLICIES)
def test_a_policy_keeps_the_ocean_going(zb20_run, files, policy):
    """NaN at step k; everything else is delivered; the place is in the log, the counts in the end marker."""
    more = {"cn_fallback": "spare"} if policy == "fallback" else {}
    run = zb20_run(guarded(policy, diag={"ln_diag_guard": True}, **more), link=files, coupler=1)
    du = run.diagnostics()["du"].values
    assert np.isfinite(du).all()
    bad = du[2, 0, 3:5, 2]
    clean = (
        zb20_run(nets.groups({"cn_name": "large", "cn_artefact": "large.py", "cn_policy": "zero"}), link=files)
        .diagnostics()["du"]
        .values
    )
    if policy in ("clip", "zero"):
        assert (bad == 0).all()
    if policy == "hold":
        assert (bad == du[1, 0, 3:5, 2]).all() and (bad != 0).any()
    if policy == "fallback":
        assert (bad != 0).any()
    assert (du[:2] == clean[:2]).all()
    lines = [json.loads(line) for line in (run.folder / "halocline.guard.0000.jsonl").read_text().splitlines()]
    assert [(line["i"], line["j"], line["k"], line["step"]) for line in lines] == [(3, 4, 1, BAD), (3, 5, 1, BAD)]
    end = json.loads((run.folder / "halocline.coupler.json").read_text())
    assert end["guards"]["failing"] == {"du.finite": 2}
    assert run.diagnostics()["guard_du"].values[-1].sum() == 2
    assert "guards of network 'failing'" in run.text


@pytest.mark.parametrize(("policy", "half"), [("clip", 4), ("hold", 2), ("hold", 4), ("fallback", 2)])
def test_a_restart_in_the_middle_of_trouble(zb20_run, files, policy, half):
    """Held values and counters are part of the coupler's restart: the same bits and counts on another layout."""
    last, half = SPINUP + 6, SPINUP + half
    more = {"cn_fallback": "spare"} if policy == "fallback" else {}
    groups = guarded(policy, "fast", **more)
    whole = zb20_run(groups, {"namrun": {"nn_stock": half}}, link=files, ocean=2, coupler=3)
    assert "'du' finite" in whole.text
    restart, ours = (whole.folder / f"{name}_{half:08d}_restart.nc" for name in ("TEST", "halocline"))
    rest = {"namrun": {"nn_it000": half + 1, "nn_itend": last, "cn_ocerst_in": restart.name}}
    groups["namcpl"] = {**groups["namcpl"], "cn_rst_in": ours.name}
    second = zb20_run(groups, rest, link=(*files, restart, ours))
    same_bits(whole.restart(last), second.restart(last))
    counts = [json.loads((run.folder / "halocline.coupler.json").read_text())["guards"] for run in (whole, second)]
    assert counts[0] == counts[1] and counts[0]["fast"]["du.finite"] > 1


def test_range_and_rate(zb20_run, files):
    """1 m s-2 is out of the bounds; with a rate limit the step to it is cut to what may change in 2400 s."""
    run = zb20_run(guarded("clip", "large"), link=files)
    assert run.diagnostics()["du"].values[2, 0, 3:5, 2] == pytest.approx(1e-3)
    du = zb20_run(guarded("clip", "large", rn_rate=1e-9), link=files).diagnostics()["du"].values
    np.testing.assert_allclose((du[2] - du[1])[0, 3:5, 2], 2400 * 1e-9, rtol=1e-9)
    tight = zb20_run(guarded("clip", "large", rn_clip=1e-12), link=files).diagnostics()["du"].values
    assert abs(tight).max() <= 1e-12


def test_too_many_interventions_stop_the_run(zb20_run, files):
    done = zb20_run(guarded("zero", nn_guard_stop=1), link=files, coupler=2, ok=False)
    assert "more than nn_guard_stop = 1" in done.text


def test_the_ocean_takes_over_where_it_is_told(zb20_run, files):
    """Without a standby network the cells are zero and the flags say so; the ocean adds its own closure there, only there."""
    flags = {"cn_flags": ["du=flag_u", "dv=flag_v"]}
    into = ("du", "dv", "flag_u", "flag_v")
    groups = nets.groups({"cn_name": "fast", "cn_policy": "fallback", **flags}, into=into)
    own = {
        "namzb20": {"ln_zb20_fb": True, "rn_zb_kappa": 1.6e8},
        "namtrd": {"ln_trd": True, "nn_trd": 1, "ln_trd_r8": True},
    }
    runs = [zb20_run(groups, own, link=files, ocean=a, coupler=b) for a, b in [(1, 1), (4, 2)]]
    same_bits(runs[0].restart(SPINUP + 6), runs[1].restart(SPINUP + 6))
    shown = runs[0].diagnostics()
    flag = shown["flag_u"].values
    assert 1 < flag.sum() < 40 and flag[2, 0].sum() == flag.sum()
    used = runs[0].open(f"TEST_{SPINUP + 1:08d}_{SPINUP + 6:08d}_trd.nc")["utrd_cpl"].values
    made = shown["du"].values
    assert (used[flag == 0] == made[flag == 0]).all() and (made[flag == 1] == 0).all()
    assert (used[flag == 1] != 0).all()


def test_conservation_removes_the_domain_sum(zb20_run, files):
    """Weighted by area and thickness at U points; the same bits in every layout, with weights that change in time."""
    weights = {"cn_weights": ["du=e1u*e2u*h", "dv=e1v*e2v*h"], "cn_policy": "zero"}
    groups = nets.groups({"cn_name": "fast", **weights}, static=("e1u", "e2u", "e1v", "e2v"))
    one, other = (zb20_run(groups, link=files, ocean=a, coupler=b) for a, b in [(1, 1), (2, 3)])
    same_bits(one.restart(SPINUP + 6), other.restart(SPINUP + 6))
    plain = zb20_run(guarded("zero"), link=files)
    sums = [
        abs(run.diagnostics()["du"].values[0].sum()) / abs(run.diagnostics()["du"].values[0]).sum()
        for run in (one, plain)
    ]
    assert sums[0] < 0.05 * sums[1], "nearly uniform weights: the plain sum nearly vanishes as well"


def test_a_shadow_is_compared_and_never_applied(zb20_run, files):
    alone = zb20_run(guarded("zero", "fast"), link=files)
    shadow = {"cn_name": "spare", "cn_role": "shadow", "cn_energy": ["du=u", "dv=v"]}
    both = zb20_run(nets.groups({"cn_name": "fast", "cn_policy": "zero"}, shadow), link=files, coupler=2)
    same_bits(alone.restart(SPINUP + 6), both.restart(SPINUP + 6))
    assert "shadow 'spare' of 'fast', du: correlation" in both.text and "energy input" in both.text
    record = json.loads((both.folder / "halocline.shadow.jsonl").read_text().splitlines()[0])
    assert record["fields"]["dv"]["rms_shadow"] == pytest.approx(0.5 * record["fields"]["dv"]["rms_active"])


def test_ramp_and_window(zb20_run, files):
    """The factor grows from step 1 of the experiment; outside the window the ocean gets zero."""
    plain = zb20_run(guarded("zero"), link=files, steps=2).diagnostics()["du"].values
    ramp = zb20_run(guarded("zero", rn_ramp=100.0), link=files, steps=2).diagnostics()["du"].values
    np.testing.assert_allclose(ramp[0], plain[0] * (SPINUP * 2400.0 / 8.64e6), rtol=1e-12)
    groups = nets.groups(
        {"cn_name": "failing", "cn_policy": "zero", "rn_lat_min": 200.0, "rn_lat_max": 400.0, "nn_lev_max": 1},
        static=("gphiu", "gphiv"),
    )
    du = zb20_run(groups, link=files, steps=1, coupler=2).diagnostics()["du"].values[0]
    assert (du[1:] == 0).all() and (du[0, :4] == 0).all() and (du[0, 12:] == 0).all() and (du[0, 6:9] != 0).any()


def test_another_artefact_during_the_run(zb20_run, files, tmp_path):
    """A request that lies there at the first step: every rank takes the new artefact at the same step."""
    import hashlib

    other = tmp_path / "other.py"
    other.write_text(
        (files[0])
        .read_text()
        .replace("1e-6 * laplacian", "2e-6 * laplacian")
        .replace('"version": "1"', '"version": "2"')
    )
    ask = tmp_path / "failing.swap"
    ask.write_text(json.dumps({"artefact": "other.py", "sha256": hashlib.sha256(other.read_bytes()).hexdigest()}))
    groups = guarded("zero", ln_swap=True)
    groups["namcpl"]["cn_python_allow"] = ["failing.py", "other.py"]
    run = zb20_run(groups, link=(*files, other, ask), steps=2, coupler=2)
    assert "version 2" in run.text and f"from step {SPINUP + 1} on" in run.text
    plain = zb20_run(guarded("zero"), link=files, steps=2).diagnostics()["du"].values
    np.testing.assert_allclose(run.diagnostics()["du"].values[0], 2 * plain[0], rtol=1e-12)
    ask.write_text('{"artefact": "other.py"}')
    assert "a request for another artefact is JSON" in zb20_run(groups, link=(*files, other, ask), ok=False).text


def test_novel_inputs_are_counted_and_may_switch_the_network_off(zb20_run, files):
    """The share over the whole domain decides, so every rank decides alike."""
    watched = zb20_run(guarded("zero", "calm"), link=files, steps=2)
    share = float(re.search(r"inputs of network 'calm': ([0-9.]+) % of the cells", watched.text)[1])
    assert 1 < share < 99 and np.abs(watched.diagnostics()["du"].values).max() > 0
    below, above = (
        zb20_run(guarded("zero", "calm", rn_novelty=share / 100 * factor), link=files, steps=2, coupler=3)
        for factor in (0.9, 1.1)
    )
    assert (below.diagnostics()["du"].values == 0).all()
    same_bits(above.restart(SPINUP + 2), watched.restart(SPINUP + 2))


def test_guards_and_flags_over_oasis(zb20_run, files):
    """The same bits as over MPI, also where cells fall back on the ocean's own closure."""
    groups = nets.groups(
        {"cn_name": "fast", "cn_policy": "fallback", "cn_flags": ["du=flag_u", "dv=flag_v"]},
        into=("du", "dv", "flag_u", "flag_v"),
    )
    own = {"namzb20": {"ln_zb20_fb": True, "rn_zb_kappa": 1.6e8}}
    over = [
        zb20_run({**groups, "namcpl": {**groups["namcpl"], "cn_transport": transport}}, own, link=files, ocean=2)
        for transport in ("mpi", "oasis")
    ]
    same_bits(over[0].restart(SPINUP + 6), over[1].restart(SPINUP + 6))

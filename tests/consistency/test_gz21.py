"""GZ21 in coupled runs: mean and noise, staggered from T to U and V, alone and behind another network, in any layout."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.consistency import networks as nets
from tests.consistency.conftest import SPINUP, same_bits

WEIGHTS = Path(__file__).resolve().parents[3] / "shared" / "data" / "gz21" / "trained_model.pth"
GZ21 = {"cn_name": "gz21", "cn_artefact": "gz21_f4.onnx", "cn_policy": "clip"}
CHAIN = {**GZ21, "cn_inputs": ["u=filter.uf", "v=filter.vf"]}


def both(run, boundary, groups, link=(), steps=3):
    one, other = (
        run(groups, boundary=boundary, ocean=a, coupler=b, steps=steps, link=link) for a, b in [(1, 1), (4, 3)]
    )
    same_bits(one.restart(SPINUP + steps), other.restart(SPINUP + steps))
    return one


@pytest.mark.parametrize(
    "boundary", ["closed", "fold_F", *(pytest.param(name, marks=pytest.mark.slow) for name in ("cyclic_ew", "fold_T"))]
)
def test_onnx_with_noise_has_the_same_bits_in_every_layout(zb20_run, boundary):
    run = both(zb20_run, boundary, nets.groups(GZ21, cpl={"nn_seed": 1}))
    assert "cut and whole agree: bitwise" in run.text and "noise: gaussian, white" in run.text
    assert 1e-9 < np.abs(run.diagnostics()["du"].values).std() < 1e-4


def test_a_chain_with_noise_has_the_same_bits_in_every_layout(zb20_run, tmp_path):
    files = nets.write(tmp_path / "nets", filter=nets.FILTER)
    run = both(zb20_run, "fold_T", nets.groups(CHAIN, {"cn_name": "filter"}), files)
    assert "networks run in this order: filter, gz21" in run.text


@pytest.mark.slow
@pytest.mark.skipif(not WEIGHTS.exists(), reason="the published weights are not at shared/data/gz21")
def test_torch_export_keeps_what_it_prints(zb20_run, tmp_path):
    """oneDNN sums 128 channels of 5 x 5 kernels in an order that depends on the size of the block: round-off, and it says so."""
    done = subprocess.run(
        ["halocline", "import", "gz21", WEIGHTS, "--out", tmp_path, "--format", "pt2"],
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    groups = nets.groups({**GZ21, "cn_artefact": "gz21_f4.pt2", "ln_trust": True})
    link = (tmp_path / "gz21_f4.pt2",)
    one, other = (zb20_run(groups, ocean=a, coupler=b, steps=1, link=link) for a, b in [(1, 1), (4, 3)])
    if "cut and whole agree: bitwise" in one.text:
        same_bits(one.restart(SPINUP + 1), other.restart(SPINUP + 1))
    else:
        assert "cut and whole agree: round-off" in one.text
        first, second = (run.diagnostics()["du"].values for run in (one, other))
        np.testing.assert_allclose(first, second, rtol=0, atol=1e-5 * np.abs(first).max())


def test_the_mean_alone_is_another_run(zb20_run):
    noisy, mean = (zb20_run(nets.groups({**GZ21, "rn_noise": factor}), steps=2) for factor in (1.0, 0.0))
    with pytest.raises(AssertionError, match="differs"):
        same_bits(noisy.restart(SPINUP + 2), mean.restart(SPINUP + 2))

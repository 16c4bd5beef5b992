"""The sea-ice correction, from increments to a better free run of the synthetic sea; broken corrections must be seen."""

import json
import re

import numpy as np
import pytest
import torch

from coupler.engines.base import load_engine
from coupler.errors import HaloclineError
from models.data.synthetic_ice import BIASED, DAY, TRUTH, World, forecast, increments, predictors, run
from models.settings import NamSplit, NamTrain
from models.training import sea_ice

pytestmark = pytest.mark.timeout(300)

DAYS, YEAR = 5, 72  # days of a window, windows of a year
PARTS = NamSplit(nn_train=4, nn_val=0, nn_test=2)


def settings(**switches):
    return NamTrain(
        **{
            "cn_name": "ice", "cn_family": "sea_ice", "cn_inputs": ["a_i", "sst", "u_ice", "v_ice", "h_ice", "t_skin"],
            "nn_width": 16, "nn_kernels": [3, 3, 3], "nn_epochs": 20, "nn_batch": 8, "nn_harmonics": 3, "rn_lr": 4e-3,
            "nn_threads": 1, "cn_formats": ["onnx"],
        } | switches
    )  # fmt: skip


@pytest.fixture(scope="module")
def data():
    world = World(seed=1, days=360 * 8)
    return increments(world, forecast(world, TRUTH, world.rest(), 360), 6 * YEAR, DAYS)


@pytest.fixture(scope="module")
def trained(data):
    return sea_ice.fit(data, settings(), PARTS)


def test_it_beats_the_climatology_on_years_it_never_saw(trained):
    """Explained variance of the total's increment about twice that of the season, and more in sum over categories."""
    net, season = trained.explained["network"], trained.explained["climatology"]
    assert net["total"] > 0.6 and net["total"] > season["total"] + 0.3
    assert season["total"] > 0.1  # not a straw man
    mean = [np.mean([part[str(k + 1)] for k in range(5)]) for part in (net, season)]
    assert mean[0] > mean[1] + 0.05


def test_shuffled_increments_are_not_learnt(data):
    """The twin: increments of other windows of the same season are no better than the season."""
    shuffled = data.copy()
    order = np.random.default_rng(0).permutation(6).repeat(YEAR) * YEAR + np.tile(np.arange(YEAR), 6)
    shuffled["a_i_inc"] = data["a_i_inc"].isel(time=(order + 5 * YEAR) % (6 * YEAR)).drop_vars("time", errors="ignore")
    found = sea_ice.fit(shuffled, settings(nn_epochs=4), PARTS).explained
    assert found["network"]["total"] < found["climatology"]["total"] + 0.1


class Sea:
    """Free runs of two years, after one that does not count, under weather that the training did not see."""

    def __init__(self, warmer=0.0):
        self.world = World(seed=2, days=360 * 5, warmer=warmer)
        self.start = forecast(self.world, TRUTH, self.world.rest(), 360)
        self.truth = run(self.world, TRUTH, self.start, 3 * YEAR, DAYS)[YEAR:]

    def errors(self, correction=None):
        """Root mean square over cells of the mean error of the total concentration, and of the error itself."""
        error = run(self.world, BIASED, self.start, 3 * YEAR, DAYS, correction)[YEAR:] - self.truth
        wet = self.world.tmask > 0
        return float(np.sqrt((error.mean(axis=0)[wet] ** 2).mean())), float(np.sqrt((error[:, wet] ** 2).mean()))


class Season:
    """The climatological increment as a correction: it counts the windows, and knows nothing of the state."""

    def __init__(self, trained):
        days = np.arange(DAYS, 361.0, DAYS)
        self.values, self.window = sea_ice.climatology(trained.samples, 3, days), 0

    def __call__(self, _):
        self.window += 1
        return self.values[(self.window - 1) % YEAR]


@pytest.fixture(scope="module")
def seas():
    return {warmer: Sea(warmer) for warmer in (0.0, -2.0)}


def test_it_removes_the_bias_of_a_free_run(trained, seas):
    """Bias and error under unseen weather. The twin with the increments' sign turned makes both worse."""
    free, corrected = seas[0.0].errors(), seas[0.0].errors(trained.correction)
    assert corrected[0] < 0.6 * free[0] and corrected[1] < 0.75 * free[1]
    wrong = seas[0.0].errors(lambda fields: -trained.correction(fields))
    assert wrong[0] > free[0] and wrong[1] > free[1]


def test_it_knows_the_state_where_the_season_does_not(trained, seas):
    """In a climate 2 K colder, the correction of the season is that of another ice edge; the network follows the ice."""
    free, season = seas[-2.0].errors(), seas[-2.0].errors(Season(trained))
    corrected = seas[-2.0].errors(trained.correction)
    assert corrected[0] < 0.75 * season[0] < 0.75 * free[0]


def test_an_increment_used_as_a_tendency_is_seen_online(trained, seas):
    """Per window taken for per second, 432000 times too much: the types refuse it (tests/data); forced, the ice is ruined."""
    free = seas[0.0].errors()
    wrong = seas[0.0].errors(lambda fields: trained.correction(fields) * (DAYS * DAY))
    assert wrong[0] > 2 * free[0] and wrong[1] > 2 * free[1]


def test_inserted_at_once_it_keeps_the_bounds(trained, seas):
    """Background + increment in float32 over a year of states; the same network without bounds leaves them nearly always."""
    world, ice = seas[0.0].world, seas[0.0].start
    outside = {"bounded": 0, "unbounded": 0}
    for _ in range(24):
        ice = forecast(world, BIASED, ice, 15)
        fields = predictors(world, BIASED, ice)
        for name in outside:
            trained.network.train(name == "unbounded")
            found = fields["a_i"] + trained.correction(fields)
            outside[name] += int((found < 0).any()) + int((found.astype(np.float64).sum(axis=0) > 1).any())
    trained.network.eval()
    assert outside["bounded"] == 0 and outside["unbounded"] > 24


def test_what_is_written_is_the_trained_network(trained, tmp_path, monkeypatch):
    """Its weights, its window and its scores go to the export; how a file of this family computes: tests/families."""
    monkeypatch.setattr(sea_ice.export, "write", lambda build, *where: [build("f4"), where])
    (network, contract), where = trained.write(tmp_path)
    assert network is trained.network and where == (tmp_path, ["f4"], ["onnx"])
    says_what_it_is(contract)
    assert contract.trained_on["explained_climatology"] != contract.trained_on["explained_network"]


def says_what_it_is(contract):
    assert (contract.window, contract.radius) == (DAYS * DAY, 3) and contract.outputs[0].kind == "increment"
    assert contract.trained_on["explained_network"].startswith("0.")


@pytest.mark.slow
def test_the_artefact_is_the_trained_network(trained, seas, tmp_path):
    """The same increments from onnxruntime, whole and cut; a hundredth more is seen."""
    (path,) = trained.write(tmp_path)
    engine = load_engine(path, trust=True)
    contract = engine.contract
    says_what_it_is(contract)
    assert contract.decomposition == "bitwise"
    fields = predictors(seas[0.0].world, BIASED, seas[0.0].start)
    blocks = [fields[n] if fields[n].ndim == 3 else fields[n][None] for n in trained.train.cn_inputs]
    padded = trained.samples.padding(torch.from_numpy(np.concatenate(blocks))[None])
    parts = padded.split([int(spec.levels) for spec in contract.inputs], dim=1)
    found = engine.run({spec.name: part[0].numpy() for spec, part in zip(contract.inputs, parts, strict=True)})
    want = trained.correction(fields)
    assert abs(want).max() > 0.02
    assert np.allclose(found["da_i_bias"], want, rtol=0, atol=2e-6)
    assert not np.allclose(found["da_i_bias"], 1.01 * want, rtol=0, atol=2e-6)


def test_the_same_seed_gives_the_same_weights(data):
    one, same, other = (
        sea_ice.fit(data, settings(nn_epochs=1, nn_seed=seed), NamSplit(nn_train=1, nn_test=1)).network.state_dict()
        for seed in (1, 1, 2)
    )
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_mistakes_are_refused(data):
    """Each says what is wrong and what to do."""
    quick = settings(nn_epochs=1)

    def refused(words, changed=data, train=quick, parts=PARTS):
        with pytest.raises(HaloclineError, match=words):
            sea_ice.fit(changed, train, parts)

    refused("4, 0, 3 years, the record has 6", parts=NamSplit(nn_train=4, nn_test=3))
    refused("does not say over which window", data.assign_attrs(increments="{}"))
    refused("positive number of seconds", data.assign_attrs(increments=json.dumps({"window": -1.0})))
    refused("has no sss", train=settings(cn_inputs=["a_i", "sst", "sss"]))
    hole = data.copy(deep=True)
    hole["sst"].values[3, 5, 5] = np.nan
    refused("'sst' is not finite", hole)


@pytest.mark.slow
def test_the_page_can_be_typed(tmp_path, monkeypatch, repo):
    """The example of docs/pages/sea_ice.md, with less data and one epoch; a name that does not exist would stop it."""
    text = (repo / "docs" / "pages" / "sea_ice.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    for long, short in (
        ("360 * 12", "360 * 4"),
        ("720", "144"),
        ("epochs=30", "epochs=1"),
        ("train=6", "train=1"),
        ("test=3", "test=1"),
    ):
        assert long in example
        example = example.replace(long, short)
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "sea_ice.md", "exec"), {})
    assert {path.name for path in (tmp_path / "ice").iterdir()} == {"sea_ice_f4.onnx", "sea_ice_f4.pt2"}

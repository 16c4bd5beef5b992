"""The target of networks of increments: what is left of the climatology, whose years enter, units, shares of variance."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import xarray as xr

from coupler.errors import HaloclineError
from models.data import climatology
from models.data.increment import ATTRIBUTE, Increments, open_increments
from models.training import explained
from models.training.fit import prepare, read
from models.training.increments import anomalies, outputs
from models.training.loader import Drawn, Key
from models.training.samples import collect
from tests.training import synthetic

WINDOW, DAY, YEAR, PER_YEAR = 432000.0, 86400.0, 360, 12
UNITS = {"u": "m s-1", "v": "m s-1", "h": "m", "sst": "degC"}
SLOPE, SCALE = -0.3, {"u": 0.05, "v": 0.05, "h": 20.0, "sst": 0.6}
YEARS = {"nn_train": 4, "nn_val": 1, "nn_test": 1, "rn_gap": 20.0}


def dataset(years=6, season=1.0, noise=1.0, analysis=False, seed=0, window=WINDOW):
    """inc = C(x) + season cos w + SLOPE (b - mean) + noise e on wet points, e with the variance of the term before it.

    Windows of five days, one a month. analysis: the analysis stands where the background is due.
    """
    data = synthetic.dataset(PER_YEAR * years, seed=seed).drop_vars(["du", "dv", "du_adv", "dv_adv"])
    times = DAY * (15.0 + 30.0 * np.arange(PER_YEAR * years))
    data["time"] = ("time", times, {"units": "seconds since 0001-01-01 00:00:00", "calendar": "360_day"})
    draw = np.random.default_rng(seed + 1)
    days = climatology.day_of_year(times, data["time"].attrs)
    wave = season * np.cos(2 * np.pi * (days - 0.5) / YEAR)
    for name, units in UNITS.items():
        mask = data[{"u": "umask", "v": "vmask"}.get(name, "tmask")].values
        mask = mask if data[name].ndim == 4 else mask[0]
        b = draw.normal(0, SCALE[name], data[name].shape)
        state = data[name].values.mean(0) * mask + b
        part = draw.normal(0, 0.3 * SCALE[name], data[name].shape[1:]) + SCALE[name] * 0.3 * wave.reshape(
            -1, *[1] * (b.ndim - 1)
        )
        increment = part + SLOPE * b + noise * abs(SLOPE) * draw.normal(0, SCALE[name], b.shape)
        data[name].values[:] = (state + analysis * increment) * mask
        data[f"{name}_inc"] = (data[name].dims, (increment * mask).astype(np.float32), {"units": units})
    data.attrs[ATTRIBUTE] = json.dumps({"window": window, "method": "insert"})
    return data


def settings(**changes):
    common = {
        "cn_family": "increment_mlp", "cn_target": "increment", "cn_inputs": ["u", "v", "h", "t"], "nn_harmonics": 1,
        "nn_width": 8, "rn_noise": 0.0,
    }  # fmt: skip
    return synthetic.switches(**{**common, **YEARS, **changes})


def taken(data, **changes):
    """Samples of anomalies and their seasons."""
    train, parts = settings(**changes)
    whole = Increments("made up", data, json.loads(data.attrs[ATTRIBUTE]))
    return anomalies(collect({"a": data}, train, parts), {"a": whole}, train)


def test_the_target_is_the_increment_less_its_climatology():
    """Climatology and anomaly add up to the increment, the anomaly has no mean in the training part; per window, not per second."""
    data = dataset()
    samples, seasons = taken(data)
    whole = samples.target + seasons.at(np.arange(len(samples.target)))
    want = data["h_inc"].values
    index = outputs(samples)["dh_bias"]
    assert np.allclose(whole[:, index].numpy(), want, atol=1e-4)
    assert not np.allclose(whole[:, index].numpy(), want / WINDOW, atol=1e-4)
    assert abs(samples.target[samples.train].mean(0)).max() < 1e-4 < abs(whole[samples.train].mean(0)).max()
    assert seasons.climate.window == WINDOW and seasons.climate.year_days == YEAR


def test_other_years_do_not_enter_the_climatology():
    """Whatever the validation and test years hold; with years of training changed it does."""
    data = dataset()
    _, want = taken(data)
    for years, same in ((slice(4 * PER_YEAR, None), True), (slice(0, PER_YEAR), False)):
        other = data.copy(deep=True)
        other["h_inc"].values[years] += 50.0
        _, found = taken(other)
        assert torch.equal(found.climate.maps, want.climate.maps) is same


def linear_skill(data):
    """R2 on the test part of the best line from each input to the increment of the same field, over all outputs."""
    samples, _ = taken(data)
    found = []
    for o, output in enumerate(samples.outputs):
        name = output.name.removeprefix("d").removesuffix("_bias")
        c = next(n for n, one in enumerate(samples.channels) if (one.name, one.level) == (name, output.level))
        x = samples.inputs[:, c] - samples.inputs[torch.from_numpy(samples.train)][:, c].mean(0)
        wet, y = samples.wet[o], samples.target[:, o]
        a, b = (part[samples.train][:, wet].double() for part in (x, y))
        slope = (a * b).sum() / (a * a).sum()
        left = y[samples.test][:, wet] - slope * x[samples.test][:, wet]
        found.append(1 - float(left.square().sum() / y[samples.test][:, wet].square().sum()))
    return np.mean(found)


def test_the_background_predicts_and_the_analysis_does_not():
    """Half of the anomaly is linear in the background: 0.5. Of the analysis (-0.21 + 0.09)^2 / (0.18 x 0.58) = 0.14 are told."""
    assert linear_skill(dataset()) == pytest.approx(0.5, abs=0.06)
    assert linear_skill(dataset(analysis=True)) == pytest.approx(0.14, abs=0.06)


def setup(data, tmp_path, **changes):
    path = synthetic.write(data, tmp_path / "data.zarr")
    train, parts = settings(cn_data=[str(path)], **changes)
    return prepare(train, parts, read(train))


def test_noise_is_taken_back_in_rn_restore(tmp_path):
    """What the target asks per window, as a tendency held for rn_restore, removes the noise; without the window it does not."""
    made = setup(dataset(), tmp_path, rn_noise=0.2, rn_restore=2 * DAY)
    key = Key(0, [int(made.samples.train[0])], 1, 0)
    plain, noisy = (Drawn(made.samples, 1, perturb)[key] for perturb in (None, made.perturb))
    order = [(c.name, c.level) for c in made.samples.channels]
    for o, output in enumerate(made.samples.outputs):
        c = order.index((output.name.removeprefix("d").removesuffix("_bias"), output.level))
        noise = (noisy.inputs - plain.inputs)[0, c]
        asked = (noisy.target - plain.target)[0, o]  # per window
        tolerance = 1e-3 * float(noise.abs().max())
        assert torch.allclose(noise + 2 * DAY * asked / WINDOW, torch.zeros_like(noise), atol=tolerance)
        assert not torch.allclose(noise + 2 * DAY * asked, torch.zeros_like(noise), atol=tolerance)


def test_stretched_states_are_taken_back_in_their_time(tmp_path):
    """b (x - mean) of a state asks for b times the anomaly more, less the stretching over rn_amplify_restore, per window."""
    made = setup(dataset(), tmp_path, rn_amplify=0.3, rn_amplify_restore=10 * DAY)
    key = Key(0, [int(made.samples.train[3])], 1, 0)
    plain, moved = (Drawn(made.samples, 1, perturb)[key] for perturb in (None, made.perturb))
    departure = (moved.inputs - plain.inputs)[0, 0]
    wet = made.samples.wet[0]
    b = (departure / (plain.inputs[0, 0] - made.perturb.amplify.mean[0]))[wet].median()
    want = (1 + b) * plain.target[0, 0] - departure * WINDOW / (10 * DAY)
    assert torch.allclose(moved.target[0, 0][wet], want[wet], atol=1e-5)
    assert not torch.allclose(moved.target[0, 0][wet], ((1 + b) * plain.target[0, 0])[wet], atol=1e-4)


def test_conservation_takes_the_mean_out_of_the_target():
    """The area mean of each level's thickness increment is zero in every window; of other fields, and without the switch, not."""
    samples, seasons = taken(dataset(), cn_conserve=["h"])
    whole = samples.target + seasons.at(np.arange(len(samples.target)))
    index = outputs(samples)
    means = {
        name: abs(whole[:, channels][:, :, samples.wet[channels[0]]].mean(-1)).max() for name, channels in index.items()
    }
    assert means["dh_bias"] < 1e-4 and means["dt_bias"] > 1e-3
    free, seasons = taken(dataset())
    assert abs((free.target + seasons.at(np.arange(len(free.target))))[:, index["dh_bias"]].mean()) > 1e-2


def test_a_running_mean_stays_in_its_part():
    """A jump in the validation year is not felt in the training part next to it; without a running mean nothing changes."""
    data = dataset(noise=0.0)
    other = data.copy(deep=True)
    other["h_inc"].values[4 * PER_YEAR : 5 * PER_YEAR] += 500.0
    (plain, _), (smooth, _), (jump, _) = taken(data), taken(data, rn_lowpass=90.0), taken(other, rn_lowpass=90.0)
    train = torch.from_numpy(plain.train)
    assert torch.equal(smooth.target[train], jump.target[train])
    assert not torch.allclose(smooth.target[train], plain.target[train])
    assert smooth.target[train].square().sum() < 0.6 * plain.target[train].square().sum()


def test_the_shares_of_variance_are_those_of_the_model():
    """y = c + p + e: climatology <c^2>, state <p^2>, of <y^2>; a shuffled prediction explains less than nothing."""
    draw = np.random.default_rng(0)
    c, p, e = (draw.normal(0, scale, (400, 1, 9, 8)) for scale in (1.0, 2.0, 1.0))
    wet = np.ones((1, 9, 8), bool)
    found = explained.parts(p, p + e, c, wet, "dh_bias")
    assert found.climatology == pytest.approx(1 / 6, abs=0.02) and found.state == pytest.approx(4 / 6, abs=0.02)
    assert found.both == pytest.approx(found.climatology + found.state) and found.state_r2 == pytest.approx(
        0.8, abs=0.02
    )
    assert found.rms == pytest.approx(6**0.5, rel=0.02)
    shuffled = explained.parts(np.roll(p, 7, 0), p + e, c, wet, "dh_bias")
    assert shuffled.state < 0 and shuffled.climatology == found.climatology


def test_the_test_part_is_the_one_reported():
    """A perfect network explains the rest of the test part, one of nothing leaves the climatology; levels and their whole."""
    samples, seasons = taken(dataset())
    where = {row.numpy().tobytes(): n for n, row in enumerate(samples.inputs)}

    def perfect(x):
        return torch.stack([samples.target[where[row.numpy().tobytes()]] for row in x])

    rows = {row.output: row for row in explained.explained(perfect, samples, seasons)["test"]}
    assert set(rows) == {*map(str, samples.outputs), *outputs(samples)}
    assert all(row.both == pytest.approx(1.0) for row in rows.values())
    found = explained.explained(lambda x: torch.zeros(len(x), *samples.wet.shape), samples, seasons)
    assert all(row.state == 0 and row.climatology < 0.9 for row in found["test"])
    entry = explained.entry(found, samples)
    assert set(entry) == {"du_bias", "dv_bias", "dh_bias", "dt_bias"}
    assert explained.entry({}, samples) is None


def test_harmonics_of_what_has_no_season_are_warned_of():
    _, quiet = taken(dataset(season=2.0))
    _, noise = taken(dataset(season=0.0))
    assert quiet.warning == "" and "fit noise" in noise.warning


def test_data_sets_of_other_windows_are_refused():
    train, parts = settings()
    sets = {name: dataset(seed=seed) for seed, name in enumerate("ab")}
    wrong = {name: SimpleNamespace(**vars(_opened(data))) for name, data in sets.items()}
    samples = collect(sets, train, parts)
    anomalies(samples, wrong, train)
    wrong["b"].window = 86400.0
    with pytest.raises(HaloclineError, match="windows of 86400 s"):
        anomalies(samples, wrong, train)


def _opened(data):
    return Increments("made up", data, json.loads(data.attrs[ATTRIBUTE]))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data.drop_vars("v_inc"), "no variable v_inc(.|\n)*halocline assimilate"),
        (lambda data: data.assign(h_inc=data["h_inc"].assign_attrs(units="m s-1")), "h_inc"),
        (lambda data: data.assign_attrs({ATTRIBUTE: "{}"}), "over which window"),
    ],
)
def test_data_that_are_no_increments_are_refused(tmp_path, change, words):
    """Fields that were not changed, tendencies in their place, no window."""
    with pytest.raises(HaloclineError, match=words):
        setup(change(dataset()), tmp_path)
    made = setup(dataset(), tmp_path)
    assert isinstance(open_increments(tmp_path / "data.zarr").data, xr.Dataset) and made.seasons is not None


def test_an_archive_s_temperature_has_its_levels(tmp_path):
    """t and t_inc on two levels, no sst, no h: two channels in, two out; with sst there is one."""
    data = dataset().drop_vars(["h", "h_inc"])
    assert [str(c) for c in setup(data, tmp_path, cn_inputs=["u", "v", "t"], cn_outputs=["t"]).samples.channels][
        -1
    ] == "t"
    levels = xr.concat([data["sst"], 0.5 * data["sst"]], "k").transpose("time", "k", "y", "x")
    change = xr.concat([data["sst_inc"], 0.5 * data["sst_inc"]], "k").transpose("time", "k", "y", "x")
    archive = data.drop_vars(["sst", "sst_inc"]).assign(t=levels, t_inc=change.assign_attrs(units="degC"))
    made = setup(archive, tmp_path, cn_inputs=["u", "v", "t"], cn_outputs=["t"])
    assert [str(c) for c in made.samples.channels][-2:] == ["t1", "t2"] and len(made.samples.outputs) == 2
    assert [(spec.name, spec.levels) for spec in made.network.outputs] == [("dt_bias", 2)]
    assert next(spec for spec in made.network.inputs if spec.name == "t").levels == 2

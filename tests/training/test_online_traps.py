"""What the loss of a window is, number by number, and data that no window may begin from."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from coupler.errors import HaloclineError
from models.data import store
from models.settings import NamOnline
from models.training import fit as fitting
from models.training.losses import Spectrum
from models.training.trajectory_loss import TrajectoryLoss
from models.training.windows import WindowData, Windows
from tests.training.test_anchor import anchor
from tests.training.through import SPAN, far, gradient

LEVELS, PLANE = 2, (8, 8)


def states(seed):
    """Two states (2, 6, 8, 8) of u, v, h in two layers, each field of a size of its own."""
    sizes = torch.tensor([0.1, 0.05, 0.2, 0.02, 30.0, 10.0])[:, None, None]
    return sizes * torch.randn((2, 3 * LEVELS, *PLANE), generator=torch.Generator().manual_seed(seed))


CHANGE = torch.tensor([0.02, 0.01, 0.03, 0.01, 5.0, 2.0])
WET = torch.ones(3 * LEVELS, *PLANE)
WET[:, 0] = 0.0


def by_hand(kind, x, y):
    """The errors of the docs page, number by number, of one state (6, 8, 8)."""
    if kind == "rn_state":
        return (((x - y) / CHANGE[:, None, None])[WET > 0] ** 2).mean()
    if kind == "rn_energy":
        ratio = [(x[[k, k + LEVELS]] ** 2).sum() / (y[[k, k + LEVELS]] ** 2).sum() for k in range(LEVELS)]
        return torch.stack([(one - 1) ** 2 for one in ratio]).mean()
    flow = [one[: 2 * LEVELS] * WET[: 2 * LEVELS] / CHANGE[: 2 * LEVELS, None, None] for one in (x, y)]
    return Spectrum(*PLANE).distance(flow[0][None], flow[1][None])[0]


@pytest.mark.parametrize("kind", ["rn_state", "rn_energy", "rn_spectra"])
def test_each_error_is_what_the_page_says(kind):
    """Alone it is that of the formula, twice the weight doubles it; in other units, or with the thickness in it, it is not."""
    x, y = states(1), states(2)
    wanted = torch.stack([by_hand(kind, one, other) for one, other in zip(x, y, strict=True)])
    only = {"rn_state": 0.0, kind: 1.0}
    found = TrajectoryLoss(NamOnline(**only), CHANGE, WET, LEVELS)(x, y)
    assert torch.allclose(found, wanted, rtol=1e-4)
    assert torch.allclose(
        TrajectoryLoss(NamOnline(**only | {kind: 2.0}), CHANGE, WET, LEVELS)(x, y), 2 * wanted, rtol=1e-4
    )
    assert not torch.allclose(
        found, torch.stack([by_hand(kind, one.flip(0), two.flip(0)) for one, two in zip(x, y, strict=True)])
    )


def begun(module, ranks=1):
    """The module as a trainer of so many ranks has it in the second epoch."""
    module._trainer = SimpleNamespace(current_epoch=1, global_rank=0, world_size=ranks, barebones=False)
    return module


def second_epoch(data: WindowData):
    loader = data.train_dataloader()
    loader.sampler.set_epoch(1)
    return loader.dataset[next(iter(loader.sampler))]


def test_a_step_is_the_mean_over_windows_and_their_records(twin_place):
    """Gradient of the step: that of the mean over both records of a window; that of the last record alone is another."""
    module, data = twin_place.module(twin_place.cfg("mean"))
    batch = second_epoch(data)
    assert batch.records.shape[:2] == (4, 3)
    found = gradient(module, begun(module).training_step(batch, 0))
    ends = module.forecasts(batch.records[:, 0], 2)
    errors = [module.loss.squared(x, batch.records[:, n + 1]).mean() for n, x in enumerate(ends)]
    assert far(found, gradient(module, (errors[0] + errors[1]) / 2)) < 1e-4
    ends = module.forecasts(batch.records[:, 0], 2)
    assert far(found, gradient(module, module.loss.squared(ends[1], batch.records[:, 2]).mean())) > 1e-2


def test_single_states_weigh_as_rn_offline_says(twin_place):
    """Windows and rn_offline times the anchor, on one rank and as the mean of two; without the anchor it is another step."""
    module, data = twin_place.module(twin_place.cfg("anchored", online="rn_offline=3."))
    plain, _ = twin_place.module(twin_place.cfg("unanchored"))
    plain.network.load_state_dict(module.network.state_dict())
    batch = second_epoch(data)
    with torch.no_grad():
        windows, found = (float(begun(one).training_step(batch, 0)) for one in (plain, module))
        alone = float(module.anchor(module.network, 1, 0))
        shared = float(begun(module, 2).training_step(batch, 0) - begun(plain, 2).training_step(batch, 0))
        share = float(module.anchor(module.network, 1, 0, 0, 2))
    assert found == pytest.approx(windows + 3 * alone, rel=1e-5) and alone > 0.01 * windows
    assert shared == pytest.approx(3 * 2 * share, rel=1e-3)  # the mean over two ranks is the sum over all states


def test_the_skill_is_that_against_no_change(twin_place, monkeypatch):
    """1 - error at the window's end / error of its first record; of windows of full length from the first epoch on."""
    module, data = twin_place.module(twin_place.cfg("skill"))
    loader = data.val_dataloader()
    batch = loader.dataset[next(iter(loader.sampler))]  # epoch 0: the training has windows of one record
    assert batch.records.shape[1] == 3
    told = {}
    monkeypatch.setattr(module, "log_dict", lambda values, **_: told.update(values))
    begun(module)._trainer.strategy = SimpleNamespace(reduce=lambda x, reduce_op: x)
    with torch.no_grad():
        module.validation_step(batch, 0)
        module.on_validation_epoch_end()
        end = module.forecasts(batch.records[:, 0], 2)[-1]
        error, still = (module.loss.squared(x, batch.records[:, 2]).sum() for x in (end, batch.records[:, 0]))
        late = module.loss.squared(batch.records[:, 1], batch.records[:, 2]).sum()
    assert float(told["val_r2"]) == pytest.approx(1 - float(error / still), rel=1e-5)
    assert float(told["val_r2"]) != pytest.approx(1 - float(error / late), rel=1e-2)


def test_the_unit_is_persistence_in_the_training_part(twin_place):
    """By hand, of one field; that of all records is another."""
    _, data = twin_place.module(twin_place.cfg("unit"))
    windows = data.windows
    records, wet = windows.records[:, 0].double().numpy(), windows.wet[0].numpy()

    def rms(last):
        return np.sqrt((np.diff(records[:last], axis=0)[:, wet] ** 2).mean())

    inside = int(windows.train[-1]) + 1
    assert float(windows.change()[0]) == pytest.approx(rms(inside), rel=1e-5)
    assert rms(inside) != pytest.approx(rms(None), rel=1e-3)


def test_a_first_state_has_its_land_at_rest(twin_place):
    """Records are 0 under land, a layer of no thickness there divides by zero."""
    module, data = twin_place.module(twin_place.cfg("land"))
    level, wet = module.level(data.windows.records[:2]), data.windows.wet[-1]
    assert torch.equal(level.h[:, -1][:, wet], data.windows.records[:2, -1][:, wet])
    assert (level.h[:, :, ~wet] == module.depth[:, :, 0]).all() and (data.windows.records[:2, -1][:, ~wet] == 0).all()


def test_noise_of_single_states_is_drawn_anew():
    """The same state in another batch or epoch has other noise."""
    moved = []
    for epoch, number in ((0, 0), (0, 1), (1, 0)):
        noisy, plain = anchor(0.5).batch(epoch, number), anchor(0.0).batch(epoch, number)
        moved.append(noisy.inputs - plain.inputs)
    assert all(not torch.allclose(moved[0], other, atol=1e-3) for other in moved[1:])
    assert torch.equal(moved[0], anchor(0.5).batch(0, 0).inputs - anchor(0.0).batch(0, 0).inputs)


@pytest.fixture(scope="module")
def sound(twin_place):
    """Data as they are, how they are cut, and what a training makes of them."""
    cfg = twin_place.cfg("sound")
    return store.read(twin_place.folder / "data.zarr", ()), fitting.settings(cfg)[1], *twin_place.module(cfg)


def spoilt(data, name, place=None, value=None, factor=None):
    """The data set with one value, or a whole field, changed."""
    data = data.load().copy(deep=True)
    if factor is not None:
        data[name] = factor * data[name]
    else:
        data[name].values[place] = value
    return data


BAD = {
    "mask": (
        lambda data: spoilt(data, "tmask", (slice(None), 5, 5), 0.0),
        "tmask of data set a is not that of the ocean",
    ),
    "spacing": (lambda data: spoilt(data, "e1t", factor=0.5), "are 20000 m wide, those of the ocean"),
    "no number": (lambda data: spoilt(data, "u", (17, 0, 5, 5), np.nan), "not finite in the ocean, first in record 18"),
    "layers": (lambda data: data.isel(k=slice(0, 1)), r"has the shape \(1, 11, 13\)"),
    "gap": (lambda data: data.isel(time=[0, 1, 2, 4, 5]), "6 to 12 steps of 2400 s apart"),
    "one record": (lambda data: data.isel(time=[0]), "has 1 records, a window needs two"),
    "no thickness": (lambda data: data.drop_vars("h"), "has no h: windows follow u, v and h"),
    "rest": (lambda data: spoilt(data, "v", factor=0.0), "v of layer 1 does not change from record to record"),
}


@pytest.mark.parametrize("name", BAD)
def test_data_that_no_window_may_begin_from_are_refused(sound, name):
    """With the switch's line; NaN on land, and the data as they are, are taken."""
    data, parts, module, made = sound
    change, words = BAD[name]
    with pytest.raises(HaloclineError, match=words) as error:
        Windows({"a": change(data)}, parts, made.online, module.twin).change()
    assert "namelist_cfg line" in str(error.value)
    land = Windows({"a": spoilt(data, "u", (17, 0, 0, 0), np.nan)}, parts, made.online, module.twin)
    assert torch.equal(land.records, made.windows.records) and land.steps == SPAN


def test_the_digest_is_of_records_and_cuts(sound):
    """Another value or another split is another training."""
    data, parts, module, made = sound
    other = parts.model_copy(update={"rn_train": 0.5, "rn_val": 0.3})
    kinds = [
        Windows({"a": one}, cut, made.online, module.twin).digest
        for one, cut in ((data, parts), (spoilt(data, "u", factor=1.01), parts), (data, other))
    ]
    assert kinds[0] == made.windows.digest
    assert len(set(kinds)) == 3


def test_a_batch_that_is_larger_than_the_part_is_named(twin_place):
    with pytest.raises(HaloclineError, match=r"(?s)nn_batch = 500 are needed.*nn_batch\).*a smaller batch"):
        twin_place.module(twin_place.cfg("large", more="nn_batch=500"))

"""Learning along trajectories: which windows it sees, what its curve says, and which switches it refuses."""

import pytest
import torch

from coupler.errors import HaloclineError
from models.data import store
from models.settings import NamOnline, load
from models.training import fit as fitting
from models.training.history import words
from models.training.online import ocean_of
from models.training.windows import Windows, length
from tests.ocean.conftest import write_namelist
from tests.training.through import OCEAN, SPAN


def test_windows_grow_and_stay_within_their_part(twin_place):
    """6, then 12 steps; no window reaches into another part; noise is drawn by epoch and sample, on wet points alone."""
    module, data = twin_place.module(twin_place.cfg("windows", online="rn_start_noise=0.1"))
    windows, online = data.windows, data.online
    assert [length(online, SPAN, epoch) for epoch in range(4)] == [1, 2, 2, 2]
    for part in (windows.train, windows.val, windows.test):
        starts = windows.starts(part, 2)
        assert len(starts) and set(starts + 2) <= set(part)
        assert not set(part[-2:]) & set(starts)
    loader = data.train_dataloader()
    loader.sampler.set_epoch(1)
    (one, two) = ([loader.dataset[key].records for key in loader.sampler] for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    index = torch.tensor(next(iter(loader.sampler)).samples)
    noise = one[0] - windows.records[index[:, None] + torch.arange(3)]
    assert (noise[:, 1:] == 0).all() and (noise[:, 0, ~windows.wet] == 0).all()
    size = noise[:, 0].square().sum(dim=(0, 2, 3)).div(4 * windows.wet.sum(dim=(1, 2))).sqrt()
    assert torch.allclose(size, 0.1 * windows.spread(), rtol=0.3)
    assert not torch.equal(noise[0, 0], noise[1, 0])
    other = loader.dataset[next(iter(loader.sampler))._replace(epoch=2)].records
    assert not torch.equal(other, one[0]) and torch.equal(other[:, 1:], one[0][:, 1:])
    val = data.val_dataloader()
    assert next(iter(val.sampler)).samples == windows.starts(windows.val, 2)[::2][:4].tolist()
    assert module.twin.physics.ln_tra is False  # the tracer is passive


def test_two_data_sets_are_not_joined(twin_place):
    """The last record of one is not followed by the first of the next; one that is held out is not there."""
    one = store.read(twin_place.folder / "data.zarr", ())
    cfg = twin_place.cfg("two")
    _, parts = fitting.settings(cfg)
    online = load(cfg, NamOnline)[0]
    twin = ocean_of(online, False)
    alone, both = (Windows(data, parts, online, twin) for data in ({"a": one}, {"a": one, "b": one}))
    assert len(both.starts(both.train, 2)) == 2 * len(alone.starts(alone.train, 2))
    assert (both.following[: len(alone.following)] == alone.following).all()
    kept = Windows({"a": one, "b": one}, parts.model_copy(update={"cn_hold_data": ["b"]}), online, twin)
    assert len(kept.records) == len(alone.records)


def test_the_curve_says_what_it_shows(twin_place):
    """R2 against no change, and where windows grow; noise where there is some. Of single states it is R2 about zero."""
    module, _ = twin_place.module(twin_place.cfg("curve"))
    said = words(module, 4)
    assert (said.training, said.validation, said.grows) == ("training", "validation", (2,))
    assert "no change" in said.skill and "window's end" in said.about
    module, _ = twin_place.module(twin_place.cfg("noisy", more="rn_ema=0.9", online="rn_start_noise=0.1"))
    assert words(module, 1).training == "training (with noise)" and "averaged" in words(module, 1).validation
    del module.online
    assert words(module, 1).skill == "R2 about zero"


REFUSED = {
    "records": ({"online": "nn_every=4"}, "6 steps apart, no multiple of nn_every = 4"),
    "window": ({"online": "nn_window=600"}, "has 0 windows of 600 steps"),
    "short": ({"online": "nn_window=3"}, "nn_window = 3 steps is shorter than the 6 steps"),
    "cut": ({"online": "nn_cut=4"}, "nn_cut = 4 is no multiple of nn_every"),
    "loss": ({"online": "rn_state=0."}, "all 0: no loss is left"),
    "start": ({"online": "cn_start='nowhere_{seed}'"}, "no nowhere_1/last.ckpt to begin from"),
    "increments": ({"more": "cn_target='increment';cn_family='increment_cnn'"}, "trains closures of momentum"),
    "huber": ({"more": "cn_loss='huber'"}, "by the squared error"),
    "noise": ({"more": "rn_noise=0.1"}, "rn_noise = 0.1 is a switch of the fit to single states"),
    "augment": ({"more": "cn_symmetry='augment'"}, "turns the basin"),
    "tracer": ({"more": "cn_inputs='u','v','t'"}, "the tracer is passive"),
    "no ocean": ({"ocean": ""}, "cn_ocean is empty"),
    "another ocean": ({"ocean": "other"}, "has the shape"),
    "season": ({"ocean": "season"}, "rn_season = 0.2"),
    "time step": ({"ocean": "slow"}, "windows need a whole number"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_trained_is_refused(twin_place, name):
    """With the switch's line and what to do."""
    for folder, more in (
        ("other", {"namusr_def": {"nn_nx": 12, "nn_ny": 9}}),
        ("season", {"namsbc": {"rn_season": 0.2}}),
        ("slow", {"namdom": {"rn_dt": 1700.0}}),
    ):
        if not (twin_place.folder / folder).exists():
            (twin_place.folder / folder).mkdir()
            write_namelist(twin_place.folder / folder / "namelist_cfg", OCEAN, more)
    changes, words = REFUSED[name]
    cfg = twin_place.cfg(f"refused {name}", **changes)
    with pytest.raises(HaloclineError, match=words) as error:
        twin_place.train(cfg, f"refused_run {name}")
    assert "line" in str(error.value)


def test_a_compiled_step_needs_a_compiler(twin_place, monkeypatch, tmp_path):
    """Without one the message says so, and what to do; no traceback of torch."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    import torch._inductor.config as inductor

    torch.compiler.reset()
    twin = ocean_of(load(twin_place.cfg("compiled"), NamOnline)[0], True)
    try:
        with (
            inductor.patch({"cpp.cxx": (str(tmp_path / "nothing"),)}),
            pytest.raises(HaloclineError, match=r"(?s)cannot build the twin's step.*ln_compile = .false."),
        ):
            twin.step(twin.rest(), 1)
    finally:
        torch.compiler.reset()

"""Learning along trajectories: the gradient passes the steps, the loss falls, kills and ranks do not show, Fortran agrees."""

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import xarray as xr
from rich.console import Console

from coupler import launch
from coupler.errors import HaloclineError
from models.data import store
from models.data.ocean import read_switches
from models.data.ocean_restart import read_restart, write_restart
from models.settings import NamOnline, load
from models.training import checkpoint
from models.training import fit as fitting
from models.training.history import words
from models.training.online import OnlineFit, ocean_of
from models.training.windows import Window, WindowData, Windows, length
from models.twin.closure import NetworkClosure
from models.twin.run import Twin
from models.twin.state import State, Tendency
from tests.conftest import REPO
from tests.ocean.conftest import write_namelist

STEP, EVERY, SPAN, RECORDS = 2400.0, 3, 6, 48
QUIET = {"namzb20": {"ln_zb20": False}, "namdyn_ldf": {"rn_cl4": 0.0, "rn_ahm4": 0.0}, "namsbc": {"rn_season": 0.0}}
OCEAN = {**QUIET, "namusr_def": {"nn_nx": 11, "nn_ny": 9}, "namdom": {"rn_dt": STEP}}
TRAIN = """
&namsplit rn_train = 0.6, rn_val = 0.2, rn_test = 0.2, rn_gap = 0.5 /
&namtrain
   cn_name = 'tiny', cn_mode = 'online', cn_data = '{data}', nn_width = 4, nn_kernels = 3, 3, nn_epochs = {epochs}
   nn_threads = 1, rn_lr = 3.e-3, cn_formats = {formats} {more}
/
&namonline
   cn_ocean = '{ocean}', nn_every = 3, nn_window_min = 6, nn_window = 12, nn_grow = 1 {online}
/
"""
COUPLING = """
&namcpl nn_wire = 32 /
&namexc cn_name = 'geometry', cn_dir = 'to_coupler', ln_static = .true., cn_fields = 'tmask', 'umask', 'vmask' /
&namexc cn_name = 'state', cn_dir = 'to_coupler', cn_fields = 'u', 'v', 'h', rn_period = {period} /
&namexc cn_name = 'tendency', cn_dir = 'to_ocean', cn_fields = 'du', 'dv', rn_period = {period} /
&namnet cn_name = 'net', cn_artefact = 'tiny.onnx' /
"""
RUN = """
import os, signal, sys
from pathlib import Path
from models.training import fit, loader, online
step, order = online.OnlineFit.training_step, loader.Order.__iter__
def dying(self, batch, number):
    if (self.current_epoch, number) == (1, 1):
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, batch, number)
for run in sys.argv[2:]:
    if "killed" in run:
        online.OnlineFit.training_step = dying
    if "unsharded" in run:
        loader.Order.__iter__ = lambda self: order(loader.Order(self.samples, self.batch, self.seed, self.shuffle, 0, 2))
    fit.fit(Path(sys.argv[1]), Path(run))
"""


def friction(now):
    """What the truth has and the ocean lacks: the network's task."""
    return Tendency(-6e-6 * now.u, -6e-6 * now.v)


def dataset(twin: Twin) -> xr.Dataset:
    """A run of the ocean with `friction`, every SPAN steps, in the layout of `halocline coarsen`."""
    basin = twin.basin
    with torch.no_grad():
        state = twin.after(twin.rest(), 1, 240, forward=True)
        levels = []
        for _ in range(RECORDS):
            state = twin.after(state, 1, SPAN, friction)
            levels.append(state.now)
    masks = {"t": basin.tmask, "u": basin.umask, "v": basin.vmask}
    wet = {name: mask.at().numpy().astype(np.float32) for name, mask in masks.items()}
    fields = {name: np.stack([getattr(level, name).numpy() for level in levels]).astype(np.float32) for name in "uvh"}
    fields["h"] *= wet["t"]
    times = STEP * SPAN * np.arange(1.0, RECORDS + 1)
    stacked = {f"{name}mask": (("k", "y", "x"), np.stack([mask] * basin.levels)) for name, mask in wet.items()}
    plane = (basin.nj, basin.ni)
    data = xr.Dataset(
        {
            "time": ("time", times, {"units": "seconds since 2000-01-01", "calendar": "360_day"}),
            **{name: (("time", "k", "y", "x"), value) for name, value in fields.items()},
            "du": (("time", "k", "y", "x"), -6e-6 * fields["u"]),
            "dv": (("time", "k", "y", "x"), -6e-6 * fields["v"]),
            **stacked,
            "fmask": (("k", "y", "x"), stacked["umask"][1] * stacked["vmask"][1]),
            **{f"e{n}{p}": (("y", "x"), np.full(plane, basin.dx, np.float32)) for n in "12" for p in "tuvf"},
            "ff_t": (("y", "x"), np.full(plane, 7e-5, np.float32)),
        },
        attrs={"halocline_format": store.FORMAT, "provenance": "{}"},
    )
    return data


@dataclass(frozen=True)
class Place:
    """Ocean, data, and a script that trains in a process of its own."""

    folder: Path

    def cfg(self, name, epochs=3, more="", online="", formats="''", data="data.zarr", ocean="ocean") -> Path:
        (self.folder / name).mkdir(exist_ok=True)
        text = TRAIN.format(
            data=self.folder / data,
            ocean=self.folder / ocean if ocean else "",
            epochs=epochs,
            formats=formats,
            more="".join(
                f", {switch}" for switch in (more if "nn_batch" in more else f"nn_batch=4;{more}").split(";") if switch
            ),
            online="".join(f", {switch}" for switch in online.split(";") if switch),
        )
        (self.folder / name / "namelist_cfg").write_text(text)
        return self.folder / name

    def module(self, cfg: Path) -> tuple[OnlineFit, WindowData]:
        """What a training of `cfg` fits, and to what."""
        train, parts = fitting.settings(cfg)
        data = fitting.read(train)
        setup = fitting.along(fitting.prepare(train, parts, data), parts, load(cfg, NamOnline)[0], data)
        torch.manual_seed(0)
        for weight in setup.network.parameters():  # the last layer begins at zero
            torch.nn.init.normal_(weight, std=0.2)
        return fitting._parts(setup, setup.network.fitted, {})

    def train(self, cfg: Path, run: str) -> Path:
        return fitting.fit(cfg, self.folder / run, console=Console(quiet=True))


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Place:
    folder = tmp_path_factory.mktemp("online")
    (folder / "ocean").mkdir()
    write_namelist(folder / "ocean" / "namelist_cfg", OCEAN)
    dataset(Twin(read_switches(folder / "ocean"))).to_zarr(folder / "data.zarr", mode="w", consolidated=False)
    (folder / "run.py").write_text(RUN)
    return Place(folder)


@pytest.fixture(scope="module")
def trained(place) -> Path:
    """Run folder of five epochs, with its artefact."""
    cfg = place.cfg("falls", epochs=5, more="rn_clip_grad=1.;rn_decay=0.", formats="'onnx'")
    return place.train(cfg, "falls_run")


def gradient(module: OnlineFit, loss: torch.Tensor) -> torch.Tensor:
    return torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(module.network.parameters()))])


def batch(data: WindowData, records: int = 2) -> torch.Tensor:
    starts = torch.tensor([0, 5, 11])
    return data.windows.records[starts[:, None] + torch.arange(records + 1)]


def loss_of(module: OnlineFit, records: torch.Tensor) -> torch.Tensor:
    found = module.forecasts(records[:, 0], records.shape[1] - 1)
    return sum(module.losses(x, records[:, n + 1]).sum() for n, x in enumerate(found))


def far(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).norm() / other.norm())


ALL = "rn_state = 1.; rn_energy = 3.; rn_spectra = 0.1".replace(" ", "")


def test_the_gradient_is_that_of_all_steps(place):
    """Of every loss together: as from one graph without checkpoints, and as finite differences say. A state that is detached in
    the window, and a window that is truncated, give another.
    """
    module, data = place.module(place.cfg("gradient", online=ALL))
    records = batch(data)
    found = gradient(module, loss_of(module, records))

    def plain(cut=0):
        level = module.level(records[:, 0])
        state, loss = State(level, level), 0.0
        for n in range(2):
            for kt in range(1 + n * SPAN, 1 + (n + 1) * SPAN, EVERY):
                state = module.twin.after(state, kt, EVERY, module.closure, EVERY, forward=kt == 1)
                state = state.detach() if cut and (kt + EVERY - 1) % cut == 0 and (kt + EVERY - 1) % SPAN else state
            loss = loss + module.losses(torch.cat([*state.now[:3]], dim=1), records[:, n + 1]).sum()
            state = state.detach() if cut else state
        return gradient(module, loss)

    assert far(found, plain()) < 1e-4
    assert far(plain(EVERY), found) > 0.1
    short, _ = place.module(place.cfg("short", online=f"{ALL};nn_cut={EVERY}"))
    truncated = loss_of(short, records)
    assert far(gradient(short, truncated), plain(EVERY)) < 1e-4  # what nn_cut promises
    assert truncated == loss_of(module, records)  # and nothing else changes

    direction, size = found / found.norm(), 1e-2
    first = [weight.detach().clone() for weight in module.network.parameters()]

    def moved(by):
        at = 0
        with torch.no_grad():
            for weight, value in zip(module.network.parameters(), first, strict=True):
                weight.copy_(value + by * direction[at : at + weight.numel()].view_as(weight))
                at += weight.numel()
            return float(loss_of(module, records))

    assert (moved(size) - moved(-size)) / (2 * size) == pytest.approx(float(found.norm()), rel=0.02)


def test_windows_grow_and_stay_within_their_part(place):
    """6, then 12 steps; no window reaches into another part; noise is drawn by epoch and sample, on wet points alone."""
    module, data = place.module(place.cfg("windows", online="rn_start_noise=0.1"))
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


def test_two_data_sets_are_not_joined(place):
    """The last record of one is not followed by the first of the next; one that is held out is not there."""
    one = store.read(place.folder / "data.zarr", ())
    cfg = place.cfg("two")
    _, parts = fitting.settings(cfg)
    online = load(cfg, NamOnline)[0]
    twin = ocean_of(online, False)
    alone, both = (Windows(data, parts, online, twin) for data in ({"a": one}, {"a": one, "b": one}))
    assert len(both.starts(both.train, 2)) == 2 * len(alone.starts(alone.train, 2))
    assert (both.following[: len(alone.following)] == alone.following).all()
    kept = Windows({"a": one, "b": one}, parts.model_copy(update={"cn_hold_data": ["b"]}), online, twin)
    assert len(kept.records) == len(alone.records)


def test_the_loss_falls(place, trained):
    """To less than a third of what the ocean without closure has."""
    rows = np.genfromtxt(trained / "history.csv", delimiter=",", names=True)
    module, data = place.module(place.cfg("loss"))
    module.network.load_state_dict(checkpoint.weights(trained / checkpoint.LAST))
    records = batch(data)
    with torch.no_grad():
        trained = float(loss_of(module, records))
        for weight in module.network.parameters():
            weight.zero_()
        none = float(loss_of(module, records))
    assert rows["val_loss"][-1] < 0.5 * rows["val_loss"][0]
    assert trained < 0.3 * none


KILL = {"epochs": 3, "more": "rn_ema=0.9;nn_batch=8", "online": "rn_start_noise=0.02"}


@pytest.fixture(scope="module")
def whole(place) -> dict[str, torch.Tensor]:
    """Weights of a training that nobody touched; noise and averaged weights on."""
    return checkpoint.weights(place.train(place.cfg("kill", **KILL), "whole") / checkpoint.LAST)


def same(one: dict[str, torch.Tensor], run: Path) -> bool:
    other = checkpoint.weights(run / checkpoint.LAST)
    return all(torch.equal(value, other[key]) for key, value in one.items())


def test_a_killed_training_ends_with_the_same_bits(place, whole):
    """SIGKILL within the second epoch; the one that forgets its optimiser's state ends elsewhere."""
    cfg = place.cfg("kill", **KILL)
    command = [sys.executable, place.folder / "run.py", cfg, place.folder / "killed"]
    done = subprocess.run(command, env=environment(), capture_output=True, timeout=200)
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
    state = torch.load(place.folder / "killed" / checkpoint.LAST, weights_only=True)
    assert state["epoch"] == 0
    assert same(whole, place.train(cfg, "killed"))
    (place.folder / "forgetful").mkdir()
    state["optimizer_states"][0]["state"] = {}
    torch.save(state, place.folder / "forgetful" / checkpoint.LAST)
    assert not same(whole, place.train(cfg, "forgetful"))


@pytest.mark.parametrize(
    ("number", "plain"), [(signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)]
)
def test_a_signal_ends_in_words_and_the_training_goes_on(place, whole, monkeypatch, number, plain):
    """Within the second epoch, as an exit in words; the same command ends with the same bits."""
    step, run = OnlineFit.training_step, f"signal {number}"
    before = signal.signal(number, plain)  # in a shell's background SIGINT is ignored

    def interrupted(self, batch, count):
        if (self.current_epoch, count) == (1, 1):
            signal.raise_signal(number)
        return step(self, batch, count)

    cfg = place.cfg("kill", **KILL)
    with monkeypatch.context() as patch, pytest.raises(HaloclineError, match="interrupted. The same command goes on"):
        patch.setattr(OnlineFit, "training_step", interrupted)
        place.train(cfg, run)
    signal.signal(number, before)
    assert checkpoint.read(place.folder / run / checkpoint.LAST)["epoch"] == 0
    assert not same(whole, place.folder / run)
    assert same(whole, place.train(cfg, run))


def environment():
    return {**os.environ, "PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1"}


def distance(one, other):
    """Largest relative difference of a weight array, in its norm."""
    return max(float((a - other[key]).norm() / a.norm()) for key, a in one.items() if key.endswith(("weight", "bias")))


def test_what_two_ranks_do_is_what_one_does(place):
    """Their windows together are those of one rank; the mean of their gradients is its gradient, with one window against two. With
    a mean over the own windows, or with one rank's windows twice, it is another.
    """
    module, data = place.module(place.cfg("shares", more="nn_batch=3"))

    def windows(rank: int, ranks: int):
        data.trainer = SimpleNamespace(global_rank=rank, world_size=ranks)
        loader = data.train_dataloader()
        loader.sampler.set_epoch(1)
        return [loader.dataset[key] for key in loader.sampler]

    def stepped(batch: Window, ranks: int) -> torch.Tensor:
        module._trainer = SimpleNamespace(current_epoch=1, global_rank=0, world_size=ranks, barebones=False)
        return gradient(module, module.training_step(batch, 0))

    alone, shares = windows(0, 1), [windows(rank, 2) for rank in range(2)]
    for one, parts in zip(alone, zip(*shares, strict=True), strict=True):
        assert sorted(one.index.tolist()) == sorted(index for part in parts for index in part.index.tolist())
    one, first, second = alone[0], shares[0][0], shares[1][0]
    assert {len(first.index), len(second.index)} == {1, 2}
    wanted = stepped(one, 1)

    def mean(*batches: Window) -> torch.Tensor:
        return sum(stepped(batch, 2) for batch in batches) / 2

    assert far(mean(first, second), wanted) < 1e-5
    assert far(mean(*(batch._replace(whole=2 * len(batch.index)) for batch in (first, second))), wanted) > 1e-2
    assert far(mean(first, first), wanted) > 1e-2


@pytest.mark.slow
@pytest.mark.mpi
def test_two_ranks_give_the_weights_of_one(place):
    """1e-5 relative, with a batch that leaves a rank without window in the validation; ranks that share one half are far off."""
    cfg = place.cfg("ranks", epochs=1, more="rn_clip_grad=0.5;rn_ema=0.9;nn_batch=3")
    whole = checkpoint.weights(place.train(cfg, "one") / checkpoint.LAST)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command += [place.folder / "run.py", cfg, place.folder / "two", place.folder / "unsharded"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr[-3000:]
    two, unsharded = (checkpoint.weights(place.folder / run / checkpoint.LAST) for run in ("two", "unsharded"))
    assert distance(whole, two) < 1e-5
    assert distance(whole, unsharded) > 1e-3


@pytest.mark.mpi
def test_the_artefact_does_in_fortran_what_the_closure_does_in_the_twin(place, trained):
    """30 steps from one state, the ocean in 64 bits, the network in 32: 1e-6. Called at every step, or left out, it is not."""
    module, _ = place.module(place.cfg("exported"))
    module.network.load_state_dict(checkpoint.weights(trained / checkpoint.LAST))
    twin = Twin(read_switches(place.folder / "ocean"))
    padding, names, levels = module.closure.padding, module.closure.names, twin.basin.levels
    closure = NetworkClosure(module.network, padding, names, levels)

    def members(now):  # the closure wants an axis of members
        answer = closure(now.map(lambda x: x[None]))
        return Tendency(answer.du[0], answer.dv[0])

    with torch.no_grad():
        start = twin.after(twin.rest(), 1, 240, forward=True)
        ends = [twin.after(start, 1, 30, *how).now for how in ((members, 3), (members, 1), (None, 1))]
    folder = place.folder / "fortran"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    write_restart(folder / "start.nc", twin.restart(start, 240))
    more = {"namrun": {"nn_itend": 30, "ln_rstart": True, "nn_rstctl": 0, "cn_ocerst_in": "start.nc", "ln_cpl": True}}
    write_namelist(folder / "namelist_cfg", OCEAN, more)
    with (folder / "namelist_cfg").open("a") as text:
        text.write(COUPLING.format(period=EVERY * STEP))
    shutil.copy(trained / "tiny.onnx", folder)
    ocean = launch.REPOSITORY / "build" / "double" / "gyre.exe"
    job = launch.prepare(folder, 1, 1, folder / "run", ocean, [folder / "start.nc"], overwrite=True)
    launch.run(job, Console(quiet=True))
    end = read_restart(folder / "run" / "TEST_00000030_restart.nc").fields
    errors = []
    for now in ends:
        pairs = ((now.u.numpy(), end["un"]), (now.v.numpy(), end["vn"]))
        errors.append(max(np.abs(a - b).max() / np.abs(b).max() for a, b in pairs))
    assert errors[0] < 1e-6
    assert errors[1] > 1e-5 and errors[2] > 1e-3


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
def test_what_cannot_be_trained_is_refused(place, name):
    """With the switch's line and what to do."""
    for folder, more in (
        ("other", {"namusr_def": {"nn_nx": 12, "nn_ny": 9}}),
        ("season", {"namsbc": {"rn_season": 0.2}}),
        ("slow", {"namdom": {"rn_dt": 1700.0}}),
    ):
        if not (place.folder / folder).exists():
            (place.folder / folder).mkdir()
            write_namelist(place.folder / folder / "namelist_cfg", OCEAN, more)
    changes, words = REFUSED[name]
    cfg = place.cfg(f"refused {name}", **changes)
    with pytest.raises(HaloclineError, match=words) as error:
        place.train(cfg, f"refused_run {name}")
    assert "line" in str(error.value)


def test_it_begins_from_the_weights_of_its_start(place, trained):
    """Those of cn_start; of a network of another size they are refused."""
    cfg = place.cfg("begun", online=f"cn_start='{trained}'")
    train, parts = fitting.settings(cfg)
    data = fitting.read(train)
    setup = fitting.prepare(train, parts, data)
    assert not same(setup.network.fitted.state_dict(), trained)
    fitting.along(setup, parts, load(cfg, NamOnline)[0], data)
    assert same(setup.network.fitted.state_dict(), trained)
    with pytest.raises(HaloclineError, match="holds another network"):
        place.train(place.cfg("wide", more="nn_width=6", online=f"cn_start='{trained}'"), "wide_run")


def test_the_curve_says_what_it_shows(place):
    """R2 against no change, and where windows grow; noise where there is some. Of single states it is R2 about zero."""
    module, _ = place.module(place.cfg("curve"))
    said = words(module, 4)
    assert (said.training, said.validation, said.grows) == ("training", "validation", (2,))
    assert "no change" in said.skill and "window's end" in said.about
    module, _ = place.module(place.cfg("noisy", more="rn_ema=0.9", online="rn_start_noise=0.1"))
    assert words(module, 1).training == "training (with noise)" and "averaged" in words(module, 1).validation
    del module.online
    assert words(module, 1).skill == "R2 about zero"


def test_a_blow_up_is_named(place):
    """The window's first record, and what helps."""
    module, data = place.module(place.cfg("blow"))
    with torch.no_grad():
        for weight in module.network.parameters():
            weight.fill_(1e6)
    loader = data.train_dataloader()
    with pytest.raises(HaloclineError, match="the ocean with the network blew up"):
        module._trainer = SimpleNamespace(current_epoch=0, global_rank=0, world_size=1, barebones=False)
        module.training_step(loader.dataset[next(iter(loader.sampler))], 0)


def test_a_compiled_step_needs_a_compiler(place, monkeypatch, tmp_path):
    """Without one the message says so, and what to do; no traceback of torch."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    import torch._inductor.config as inductor

    torch.compiler.reset()
    twin = ocean_of(load(place.cfg("compiled"), NamOnline)[0], True)
    try:
        with (
            inductor.patch({"cpp.cxx": (str(tmp_path / "nothing"),)}),
            pytest.raises(HaloclineError, match=r"(?s)cannot build the twin's step.*ln_compile = .false."),
        ):
            twin.step(twin.rest(), 1)
    finally:
        torch.compiler.reset()

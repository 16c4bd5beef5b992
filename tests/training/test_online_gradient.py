"""Learning along trajectories: the gradient passes the steps, the loss falls, the ranks share it, Fortran agrees."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from rich.console import Console

from coupler import launch
from coupler.errors import HaloclineError
from models.data.ocean import read_switches
from models.data.ocean_restart import read_restart, write_restart
from models.settings import NamOnline, load
from models.training import checkpoint
from models.training import fit as fitting
from models.training.modes import along
from models.training.setup import prepare
from models.training.windows import Window
from models.twin.closure import NetworkClosure
from models.twin.run import Twin
from models.twin.state import State, Tendency
from tests.ocean.conftest import write_namelist
from tests.training.through import EVERY, OCEAN, SPAN, STEP, batch, far, gradient, loss_of, same

COUPLING = """
&namcpl nn_wire = 32 /
&namexc cn_name = 'geometry', cn_dir = 'to_coupler', ln_static = .true., cn_fields = 'tmask', 'umask', 'vmask' /
&namexc cn_name = 'state', cn_dir = 'to_coupler', cn_fields = 'u', 'v', 'h', rn_period = {period} /
&namexc cn_name = 'tendency', cn_dir = 'to_ocean', cn_fields = 'du', 'dv', rn_period = {period} /
&namnet cn_name = 'net', cn_artefact = 'tiny.onnx' /
"""


@pytest.fixture(scope="module")
def trained(twin_place) -> Path:
    """Run folder of five epochs, with its artefact."""
    cfg = twin_place.cfg("falls", epochs=5, more="rn_clip_grad=1.;rn_decay=0.", formats="'onnx'")
    return twin_place.train(cfg, "falls_run")


ALL = "rn_state=1.;rn_energy=3.;rn_spectra=0.1"


def test_the_gradient_is_that_of_all_steps(twin_place):
    """Of every loss together: as from one graph without checkpoints, and as finite differences say. A state that is detached in
    the window, and a window that is truncated, give another.
    """
    module, data = twin_place.module(twin_place.cfg("gradient", online=ALL))
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
    short, _ = twin_place.module(twin_place.cfg("short", online=f"{ALL};nn_cut={EVERY}"))
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


def test_what_two_ranks_do_is_what_one_does(twin_place):
    """Their windows together are those of one rank; the mean of their gradients is its gradient, with one window against two. With
    a mean over the own windows, or with one rank's windows twice, it is another.
    """
    module, data = twin_place.module(twin_place.cfg("shares", more="nn_batch=3"))

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


def test_the_loss_falls(twin_place, trained):
    """To less than a third of what the ocean without closure has."""
    rows = np.genfromtxt(trained / "history.csv", delimiter=",", names=True)
    module, data = twin_place.module(twin_place.cfg("loss"))
    module.network.load_state_dict(checkpoint.weights(trained / checkpoint.LAST))
    records = batch(data)
    with torch.no_grad():
        trained = float(loss_of(module, records))
        for weight in module.network.parameters():
            weight.zero_()
        none = float(loss_of(module, records))
    assert rows["val_loss"][-1] < 0.5 * rows["val_loss"][0]
    assert trained < 0.3 * none


def test_a_blow_up_is_named(twin_place):
    """The window's first record, and what helps."""
    module, data = twin_place.module(twin_place.cfg("blow"))
    with torch.no_grad():
        for weight in module.network.parameters():
            weight.fill_(1e6)
    loader = data.train_dataloader()
    with pytest.raises(HaloclineError, match="the ocean with the network blew up"):
        module._trainer = SimpleNamespace(current_epoch=0, global_rank=0, world_size=1, barebones=False)
        module.training_step(loader.dataset[next(iter(loader.sampler))], 0)


def test_it_begins_from_the_weights_of_its_start(twin_place, trained):
    """Those of cn_start; of a network of another size they are refused."""
    cfg = twin_place.cfg("begun", online=f"cn_start='{trained}'")
    train, parts = fitting.settings(cfg)
    data = fitting.read(train)
    setup = prepare(train, parts, data)
    assert not same(setup.network.fitted.state_dict(), trained)
    along(setup, parts, load(cfg, NamOnline)[0], data)
    assert same(setup.network.fitted.state_dict(), trained)
    with pytest.raises(HaloclineError, match="holds another network"):
        twin_place.train(twin_place.cfg("wide", more="nn_width=6", online=f"cn_start='{trained}'"), "wide_run")


@pytest.mark.mpi
def test_the_artefact_does_in_fortran_what_the_closure_does_in_the_twin(twin_place, trained):
    """30 steps from one state, the ocean in 64 bits, the network in 32: 1e-6. Called at every step, or left out, it is not."""
    module, _ = twin_place.module(twin_place.cfg("exported"))
    module.network.load_state_dict(checkpoint.weights(trained / checkpoint.LAST))
    twin = Twin(read_switches(twin_place.folder / "ocean"))
    padding, names, levels = module.closure.padding, module.closure.names, twin.basin.levels
    closure = NetworkClosure(module.network, padding, names, levels)

    def members(now):  # the closure wants an axis of members
        answer = closure(now.map(lambda x: x[None]))
        return Tendency(answer.du[0], answer.dv[0])

    with torch.no_grad():
        start = twin.after(twin.rest(), 1, 240, forward=True)
        ends = [twin.after(start, 1, 30, *how).now for how in ((members, 3), (members, 1), (None, 1))]
    folder = twin_place.folder / "fortran"
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

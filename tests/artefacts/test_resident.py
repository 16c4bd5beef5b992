"""Fields that stay on a device: the same code on the CPU gives the bits of the path through numpy, whatever sends the messages."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
from engine_nets import Conv, complete, contract, write

import coupler.engines.resident as resident
from coupler import exchange, settings
from coupler.contract import Contract
from coupler.engines import arrivals, drawn
from coupler.engines.base import load_engine
from coupler.errors import HaloclineError
from coupler.exchange import Exchange, make_plan
from coupler.fields import Field
from coupler.grid import Box, Grid, decompose, ownership
from coupler.halo import source_map
from coupler.land import land_fills
from coupler.links import Link
from coupler.network import Network, leave_on_device
from coupler.noise import Noise, normal, philox
from coupler.settings import NamNet
from coupler.site import Site
from coupler.timers import Timers

ZOO = Path(__file__).resolve().parents[2] / "models" / "zoo"
NX, NY = 26, 23
EDGES = ["closed", "cyclic_ew", "cyclic_both", "fold_T", "fold_F"]
LAYOUTS = [(1, 1), (6, 1), (1, 4), (6, 4)]  # ocean and coupler ranks
POINTS = {"u": "U", "v": "V", "h": "T", "s": "F"}
HEAD = 64


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """Guards write where they run."""
    monkeypatch.chdir(tmp_path)


class Ocean:
    """Ocean ranks on boxes of a grid, one of which may not exist; sends what a client sends, in one array per exchange."""

    def __init__(self, grid, ranks, levels, wire="f8", dropped=False, land=1e20):
        boxes = decompose(grid, ranks)
        self.grid, self.wire, self.owner = grid, np.dtype(wire), ownership(grid, boxes[: -1 if dropped else None])
        rng = np.random.default_rng(7)
        dry = rng.random((grid.ny, grid.nx)) < 0.25
        self.values = {
            name: np.where(dry, land, 0.02 * rng.normal(size=(levels, grid.ny, grid.nx)) + 300.0 * (name == "h"))
            for name in POINTS
        }
        self.values |= {f"{p}mask": np.where(dry, 0.0, 1.0)[None] for p in "tuvf"}
        self.values |= {f"e{n}{p}": rng.uniform(3e4, 5e4, (1, grid.ny, grid.nx)) for n in "12" for p in "tuvf"}

    def send(self, plan, receiving, kt):
        """receiving: what `buffers` made of this plan."""
        for rank, raw in receiving.items():
            payload, mine, at = raw[HEAD:].view(self.wire), self.owner.rank.ravel() == rank, 0
            cells = np.flatnonzero(mine)[np.argsort(self.owner.local.ravel()[mine])]
            for item, number in zip(plan.exchange.fields, plan.set_of, strict=True):
                runs = plan.sets[number].requests.get(rank)
                runs = runs.runs if runs else None
                for level in self.values[item.name].reshape(item.levels, -1) if runs else ():
                    for start, length in zip(runs.start, runs.length, strict=True):
                        moved = level[cells[start : start + length]] * (1.0 + 0.25 * (kt - 1) * (level.max() < 1e3))
                        payload[at : at + length] = moved
                        at += length
            assert at == payload.size
            if plan.unpacked:
                for copy in exchange.copies(plan, rank, payload):
                    copy.block[...] = copy.sign * copy.message
        for landing in plan.landings:
            landing.arrived()


def ocean_fields(names, levels):
    points = {name: POINTS.get(name) or (name[0] if "mask" in name else name[-1]).upper() for name in names}
    return tuple(
        Field(id=1, name=n, units="1", point=p, levels=levels if n in POINTS else 1, direction="out")
        for n, p in points.items()
    )


def couple(
    engine, boundary="closed", layout=(1, 1), *, on_device, levels=2, wire="f8", stack=None, outputs=None, steps=(1,),
    raw=True, dropped=False, switches=None,
):  # fmt: skip
    """Outputs on the whole grid at the last step, from one network per coupler rank; the notes of the first."""
    grid = Grid(NX, NY, boundary)
    ocean = Ocean(grid, layout[0], levels, wire, dropped)
    specs, document = engine.contract.inputs, engine.contract
    names = {"fixed": [s.name for s in specs if s.static], "moving": [s.name for s in specs if not s.static]}
    names["fixed"] += [f"{p}mask" for p in "tuvf" if f"{p}mask" not in names["fixed"]]
    outputs = outputs or {"du": "U", "dv": "V"}
    into = tuple(Field(id=1, name=n, units="1", point=p, levels=levels, direction="in") for n, p in outputs.items())
    dtype, result, notes = np.dtype(stack or document.dtype), {}, []
    for box in decompose(grid, layout[1]):
        switched = NamNet(cn_name="net", **(switches or {}))
        net = Network(switched, engine, {s.name: Link(s.name) for s in specs}, {n: Link(n) for n in outputs})
        net.on_device = on_device
        sources = {f.name: f for part in names.values() for f in ocean_fields(part, levels)}
        halo = max(net.halo(s, sources[s.name], {f.name: f for f in into}) for s in specs)
        fill = {s.name: s.fill for s in specs if isinstance(s.fill, float)}
        vectors = tuple(s.name for s in specs if s.vector_pair)
        plans = [
            make_plan(
                Exchange(n, part, "to_coupler", ocean_fields(listed, levels), static=part == "fixed", halo=halo),
                grid, ocean.owner, box, dtype=dtype, fill=fill, vectors=vectors,
            )
            for n, (part, listed) in enumerate(names.items(), start=1)
        ]  # fmt: skip
        sent = make_plan(Exchange(3, "out", "to_ocean", into), grid, ocean.owner, box, dtype=dtype)
        received = {name: plan for plan in plans for name in plan.views}
        site = Site(box, grid, 0, lambda values: values, 3600.0, lambda kt: None, seed=3)
        net.bind(received, {f.name: sent for f in into}, site)
        leave_on_device(plans, [net], settings.Settings(Path(), settings.NamCpl(), [], [], settings.NamDiag()))
        if raw:
            messages = [exchange.buffers(plan, ocean.wire, HEAD) for plan in plans]
        else:  # a transport that hands over the stack
            landings = list(plans[1].landings)
            plans[1].landings.clear()
            messages = [exchange.buffers(plan, ocean.wire, HEAD) for plan in plans]
            plans[1].landings.extend(landings)
        ocean.send(plans[0], messages[0], 1)
        net.take_static()
        fills = land_fills(plans[1], received, fill)
        for kt in steps:
            ocean.send(plans[1], messages[1], kt)
            for land in fills:
                land.apply()
            net.run(kt, Timers())
        notes.append(net)
        for name in outputs:
            whole = result.setdefault(name, np.full((levels, NY, NX), np.nan, dtype))
            whole[:, box.j0 : box.j0 + box.nj, box.i0 : box.i0 + box.ni] = sent.views[name]
    return result, notes[0]


def both(*args, **kwargs):
    """The two paths: numpy, device."""
    pair = [couple(*args, on_device=on_device, **kwargs) for on_device in (False, True)]
    assert pair[0][1].resident is None and pair[1][1].resident is not None
    assert all(np.abs(value).max() > 0 for value in pair[0][0].values())
    return pair[0][0], pair[1][0]


def assert_same(one, other):
    for name, value in one.items():
        assert value.tobytes() == other[name].tobytes(), (name, abs(value - other[name]).max())


@lru_cache
def zb20(dtype):
    return load_engine(ZOO / f"zb20_{dtype}.pt2", trust=True)


@pytest.fixture(scope="module", params=["f8", "f4"])
def zb20_exported(request):
    return zb20(request.param)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("boundary", EDGES)
def test_zb20_has_the_bits_of_the_numpy_path(zb20_exported, boundary, layout):
    assert_same(*both(zb20_exported, boundary, layout))


@pytest.mark.parametrize("wire,stack", [("f4", "f4"), ("f8", "f4"), ("f8", "f8")])
def test_casts_have_the_bits_of_the_numpy_path(wire, stack):
    """Numbers on the wire, in the stack and in the network (float32) of different types; a rank of the ocean that is land."""
    assert_same(*both(zb20("f4"), "fold_T", (6, 2), wire=wire, stack=stack, dropped=True, steps=(1, 2, 3)))


@pytest.mark.parametrize("boundary", ["closed", "fold_T"])
def test_a_transport_that_unpacks_gives_the_same(zb20_exported, boundary):
    assert_same(*both(zb20_exported, boundary, (6, 2), raw=False, steps=(1, 2)))


@pytest.fixture(scope="session")
def gz21_exported(made):
    return load_engine(made["pt2"], trust=True)


@pytest.mark.parametrize("layout", [(1, 1), (6, 2)])
@pytest.mark.parametrize("boundary", ["closed", "cyclic_ew", "fold_T"])
def test_gz21_has_the_bits_of_the_numpy_path(gz21_exported, boundary, layout):
    """Velocities brought to T, forcing sampled with noise and brought back to U and V, masked."""
    assert_same(*both(gz21_exported, boundary, layout, levels=1, wire="f8", stack="f4"))


def test_noise_is_new_at_every_step(gz21_exported):
    def run(steps, factor=1.0, on_device=True):
        switches = {"rn_noise": factor}
        return couple(gz21_exported, on_device=on_device, levels=1, steps=steps, switches=switches)[0]

    assert_same(run((1, 2)), run((1, 2), on_device=False))
    for other in (run((1,)), run((1, 2), 0.0)):
        assert not np.array_equal(run((1, 2))["du"], other["du"])


def wide(**changes):
    """A contract with everything an input can ask for: two replicated, one masked mean, one plain mean."""
    common = {"units": "1", "point": "T"}
    return contract(
        inputs=[
            {"name": "u", "vector_pair": "v", "interpolate": "mean", **common},
            {"name": "v", "vector_pair": "u", "interpolate": "mean", **common},
            {"name": "s", "fill": 7.0, "interpolate": "masked", **common},
            {"name": "h", "fill": "replicate", **common},
        ],
        outputs=[{"name": n, "units": "1", "point": "T", "interpolate": "mean"} for n in ("du", "dv")],
        self_test={"shape": [2, 3, 4], "inputs": {n: {"range": [-1.0, 1.0]} for n in "uvsh"}, "tolerance": 1e-5},
        **changes,
    )


class Four(Conv):
    """Four channels in."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.Conv2d(4, 4, 3)


def four(tmp_path, **changes):
    """An engine for `wide`, traced."""
    import io

    import torch.fx.experimental._config as tracing
    from engine_nets import with_stored
    from torch.export import Dim

    from coupler.engines.selftest import sample_inputs

    document, network = wide(**changes), Four().eval()
    inputs = sample_inputs(document, document.self_test.shape)
    with torch.inference_mode():
        result = network(torch.from_numpy(np.stack([inputs[n] for n in "uvsh"], 1))).numpy()
    document = with_stored(document, {"du": result[:, 0], "dv": result[:, 1]})
    with tracing.patch(backed_size_oblivious=True):
        planes = ({0: Dim("k", min=1), 2: Dim("J", min=5), 3: Dim("I", min=5)},)
        program = torch.export.export(network, (torch.zeros(2, 4, 9, 10),), dynamic_shapes=planes)
    raw = io.BytesIO()
    torch.export.save(program, raw, extra_files={"halocline.json": document.to_json()})
    path = tmp_path / "four.pt2"
    path.write_bytes(raw.getvalue())
    return load_engine(path, trust=True)


@pytest.mark.parametrize("boundary", EDGES)
def test_land_and_staggering_have_the_bits_of_the_numpy_path(tmp_path, boundary):
    assert_same(*both(four(tmp_path), boundary, (6, 2), levels=3))


@pytest.mark.parametrize("count", [2, 3, 5])
def test_chunks_of_levels_have_the_bits_of_the_whole(tmp_path, monkeypatch, count):
    engine = four(tmp_path)
    whole = couple(engine, "fold_T", (6, 2), on_device=True, levels=5)[0]
    whole_zb20 = couple(zb20("f8"), "fold_T", (6, 2), on_device=True, levels=5)[0]
    monkeypatch.setattr(resident, "chunks_on", lambda *args: count)
    cut, net = couple(engine, "fold_T", (6, 2), on_device=True, levels=5)
    assert len(net.resident.levels) == count
    assert_same(whole, cut)
    assert_same(whole_zb20, couple(zb20("f8"), "fold_T", (6, 2), on_device=True, levels=5)[0])


def broken_places(fault):
    right = exchange.places

    def places(plan, first):
        place, sign = right(plan, first)
        if fault == "sign":
            return place, np.ones_like(sign)
        return np.where(place < 0, place, np.roll(place, 1, axis=-1)), sign

    return places


@pytest.mark.parametrize("fault", ["sign", "shift"])
def test_a_wrong_index_map_is_caught(zb20_exported, monkeypatch, fault):
    """The map without the sign of vectors across the fold, and one column off."""
    want = couple(zb20_exported, "fold_T", (6, 2), on_device=False)[0]
    monkeypatch.setattr(arrivals, "places", broken_places(fault))
    with pytest.raises((AssertionError, HaloclineError)):
        assert_same(want, couple(zb20_exported, "fold_T", (6, 2), on_device=True)[0])


def test_land_that_is_not_filled_is_caught(tmp_path, monkeypatch):
    engine = four(tmp_path)
    want = couple(engine, on_device=False)[0]
    monkeypatch.setattr(arrivals, "land_fills", lambda *args: [])
    with pytest.raises(AssertionError):
        assert_same(want, couple(engine, on_device=True)[0])


def test_stacks_that_only_the_device_reads_stay_empty(zb20_exported, monkeypatch):
    """And a diagnostics file that names a field brings it back to the CPU."""
    seen = {}
    send = Ocean.send

    def watched(self, plan, receiving, kt):
        send(self, plan, receiving, kt)
        seen[plan.exchange.name] = plan.unpacked

    monkeypatch.setattr(Ocean, "send", watched)
    couple(zb20_exported, on_device=True)
    assert seen == {"fixed": True, "moving": False}
    couple(zb20_exported, on_device=False)
    assert seen == {"fixed": True, "moving": True}
    monkeypatch.setattr(settings, "NamDiag", lambda: settings.GROUPS["namdiag"](cn_diag=["h"]))
    couple(zb20_exported, on_device=True)
    assert seen == {"fixed": True, "moving": True}


def test_novel_inputs_are_counted_on_the_device_path(tmp_path):
    document = contract(
        inputs=[
            {"name": n, "units": "m s-1", "point": p, "percentiles": (-0.02, 0.02)} for n, p in (("u", "U"), ("v", "V"))
        ]
    )
    path = write("pt2", tmp_path / "net.pt2", Conv(), complete(Conv().eval(), document))
    engine = load_engine(path, trust=True)
    lines = []
    for on_device in (False, True):
        net = couple(engine, on_device=on_device, outputs={"du": "T", "dv": "T"})[1]
        lines.append(net.stages.novelty.report())
    assert lines[0] == lines[1] and "outside the trained percentiles" in lines[0][0]
    assert "u, v come back" in net.note


def test_what_the_device_path_leaves_to_the_cpu_is_said(tmp_path):
    path = write("pt2", tmp_path / "net.pt2")
    engine = load_engine(path, trust=True)
    outputs = {"du": "T", "dv": "T"}
    for switches, engine_, words in (
        ({"ln_swap": True}, engine, "ln_swap"),
        ({}, load_engine(path, trust=True, maxmem=50.0), "rn_maxmem"),
        ({}, load_engine(write("onnx", tmp_path / "net.onnx")), "onnxruntime"),
    ):
        net = couple(engine_, on_device=True, switches=switches, outputs=outputs)[1]
        assert net.resident is None and words in net.note
    assert couple(engine, on_device=False, outputs=outputs)[1].note == ""


def test_a_network_that_fails_is_named(tmp_path, monkeypatch):
    engine = load_engine(write("pt2", tmp_path / "net.pt2"), trust=True)
    outputs = {"du": "T", "dv": "T"}
    monkeypatch.setattr(engine, "run_tensors", lambda tensors: [tensors[0]])
    with pytest.raises(HaloclineError, match="network 'conv' returned .* its contract says"):
        couple(engine, on_device=True, outputs=outputs)

    def memory(tensors):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr(engine, "run_tensors", memory)
    with pytest.raises(HaloclineError, match=r"network 'conv': torch .* out of memory on cpu .*rn_maxmem"):
        couple(engine, on_device=True, outputs=outputs)


LEVELS = {"channel": [2, 2], "axis": ["all", "all"], "vector": [2, 2]}


class Mixed(torch.nn.Module):
    """Pointwise, whatever the rank of the tensor."""

    def forward(self, x):
        return x * x + 0.5 * x


@pytest.mark.parametrize("axis", LEVELS)
def test_every_layout_of_levels_has_the_bits_of_the_numpy_path(axis):
    """Without a file: the layouts of the contract, with noise and scalars as inputs of the graph."""
    common = {"units": "m s-1", "levels": LEVELS[axis][0], "level_axis": axis}
    document = contract(
        radius=0, tensors="stacked", scalars=(), self_test=None,
        inputs=[{"name": n, "point": p, **common} for n, p in (("u", "U"), ("v", "V"))],
        outputs=[{"name": n, "units": "m s-2", "point": "T", "levels": LEVELS[axis][0]} for n in ("du", "dv")],
    )  # fmt: skip
    assert isinstance(document, Contract)
    engine = bare_engine(document, Mixed())
    assert_same(*both(engine, "fold_F", (6, 2), outputs={"du": "T", "dv": "T"}))


def bare_engine(document, module):
    """A torch engine without a file."""
    from coupler.engines.tensors import Tensors
    from coupler.engines.torchbase import TorchEngine

    engine = TorchEngine.__new__(TorchEngine)
    engine.contract, engine._torch, engine._module, engine.precision = document, torch, module, ""
    engine.name, engine.device, engine._on_gpu, engine.threads, engine.library = "exported", "cpu", False, 1, "torch"
    engine._tensors = Tensors(document, engine._empty, channels_last=True)
    return engine


class Noisy(torch.nn.Module):
    """u and v with noise, scaled by the time of day; named tensors."""

    def forward(self, u, v, eta, seconds):
        return u + eta * seconds, v * eta


@pytest.mark.parametrize("time", ["white", "hold", "ar1"])
def test_noise_and_scalars_of_the_graph_have_the_bits_of_the_numpy_path(time, monkeypatch):
    document = contract(
        "f8", radius=0, tensors="named", scalars=("seconds_of_day",), self_test=None, noise=[{"name": "eta"}],
        inputs=[{"name": n, "units": "m s-1", "point": p} for n, p in (("u", "U"), ("v", "V"))],
        stochastic={"kind": "ensemble", "time": time, "memory": 7200.0 * (time != "white")},
    )  # fmt: skip
    engine = bare_engine(document, Noisy())
    monkeypatch.setattr(Site, "scalars", lambda self, names, kt: dict.fromkeys(names, 3600.0 * kt))
    one, other = both(engine, "fold_F", (6, 2), outputs={"du": "T", "dv": "T"}, steps=(1, 2, 3))
    assert_same(one, other)
    if time == "white":
        late = couple(engine, "fold_F", (6, 2), on_device=True, outputs={"du": "T", "dv": "T"}, steps=(1, 2))[0]
        with pytest.raises(AssertionError):
            assert_same(one, late)


def test_noise_of_the_device_has_the_bits_of_the_cpu():
    """Also where the counter leaves 32 bits, in the far tail, and with a fold."""
    source, sign = source_map(Grid(NX, NY, "fold_T"), Box(0, 0, NX, NY), 3, "U")
    for shared in (False, True):
        noise = Noise("a.b", source, sign, 70, seed=2**32 - 1, member=5, time="white", memory=0.0, shared=shared)
        device, there = (
            drawn.DeviceNoise(noise, torch.device("cpu")),
            torch.empty((70, *source.shape), dtype=torch.float64),
        )
        for step in (0, 1, 2**32 - 1, 2**40 + 3):
            device.draw(step, there)
            assert there.numpy().tobytes() == noise.at(step).tobytes()
    q = np.array([0.0, 2.0**-54, 0.425, -0.4250001, 0.49, 0.5 - 1e-11, 0.5 - 1.4e-11, -0.5 + 2.0**-54])
    q = np.concatenate([q, np.random.default_rng(1).uniform(-0.5, 0.5, 100000)])
    assert drawn.normal(torch.from_numpy(q)).numpy().tobytes() == normal(q).tobytes()
    counter = np.random.default_rng(0).integers(0, 2**32, (4, 50), dtype=np.uint64)
    want = philox(counter.copy(), (2**32 - 1, 7)).astype("i8")
    assert (drawn.philox(torch.from_numpy(counter.astype("i8")), (2**32 - 1, 7)).numpy() == want).all()
    assert (drawn.philox(torch.from_numpy(counter.astype("i8")), (2**32 - 2, 7)).numpy() != want).any()


def test_a_square_root_that_is_not_rounded_is_caught(monkeypatch):
    """Whatever torch's own does on this machine: one unit in the last place more, now and then."""
    q = np.random.default_rng(1).uniform(-0.5, 0.5, 1000)
    right = drawn._sqrt
    monkeypatch.setattr(drawn, "_sqrt", lambda x: torch.nextafter(right(x), x + 9))
    assert drawn.normal(torch.from_numpy(q)).numpy().tobytes() != normal(q).tobytes()


def test_every_message_begins_at_a_multiple_of_its_header():
    """So that the numbers of the whole array can be read as one type."""
    grid = Grid(NX, NY, "fold_T")
    plan = make_plan(
        Exchange(1, "x", "to_coupler", ocean_fields("uh", 3), halo=3), grid, ownership(grid, decompose(grid, 6)),
        Box(0, 0, NX, NY), dtype=np.dtype("f4"),
    )  # fmt: skip
    messages = exchange.buffers(plan, np.dtype("f4"), HEAD)
    base = min(raw.ctypes.data for raw in messages.values())
    assert len(messages) == 6 and all((raw.ctypes.data - base) % HEAD == 0 for raw in messages.values())
    assert [raw.size - HEAD for raw in messages.values()] == [
        4 * exchange.message_length(plan, rank) for rank in messages
    ]

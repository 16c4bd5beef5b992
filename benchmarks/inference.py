"""Cost of what the coupler does around a network, against the bare engine on the same tensor; and the engines compared.

    python benchmarks/inference.py            the tables of README.md, about three minutes
    python benchmarks/inference.py --quick    few rounds, no AOTInductor (a C++ compiler is needed for it)

One rank without MPI does what the loop does with a message: unpack it into the padded stack, fill land, bring velocities to
the network's points, run it, sample, bring the answer back, mask, guard, pack. The bare engine is onnxruntime's `session.run`
on the tensor that the network got, with as many threads. Both in turn in one process; medians.
"""

import argparse
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime as ort
from rich.console import Console
from rich.table import Table

from coupler.answers import Answers
from coupler.contract import Contract
from coupler.engines.base import Engine, load_engine
from coupler.engines.tensors import Tensors
from coupler.exchange import Exchange, Plan, copies, make_plan, message_length
from coupler.fields import Field
from coupler.grid import Box, Grid, ownership
from coupler.land import land_fills
from coupler.links import Link
from coupler.network import Network
from coupler.settings import NamNet
from coupler.site import Site
from coupler.timers import Timers
from coupler.watchdog import Watchdog

ZOO = Path(__file__).resolve().parents[1] / "models" / "zoo"
POINTS = {"u": "U", "v": "V", "h": "T", "du": "U", "dv": "V"}  # where the ocean has its fields
COMMON = {"units": "m s-1", "point": "T", "interpolate": "mean"}


@dataclass(frozen=True)
class Case:
    """A network on the grid of one rank."""

    artefact: Path
    nx: int
    ny: int
    levels: int
    boundary: str = "closed"

    @property
    def title(self) -> str:
        """Name and size."""
        return f"{self.artefact.stem} {self.nx}x{self.ny}x{self.levels}"


def convnet_contract(stochastic: bool) -> Contract:
    """The contract of the small network: two velocities in, their tendencies out, and 1/std of both if `stochastic`."""
    forcing = {"units": "m s-2", "point": "T", "interpolate": "mean", "bounds": (-1e-3, 1e-3)}
    document: dict[str, Any] = {
        "name": "convnet", "version": "1", "family": "convnet", "license": "MIT", "radius": 4, "dtype": "f4",
        "decomposition": "round-off", "tensors": "stacked",
        "inputs": [{"name": n, "vector_pair": m, **COMMON} for n, m in ("uv", "vu")],
        "outputs": [{"name": n, "vector_pair": m, **forcing} for n, m in (("du", "dv"), ("dv", "du"))],
        "self_test": {"shape": [2, 3, 4], "inputs": {key: {"range": [-1, 1]} for key in "uv"}, "tolerance": 1e-5},
    }  # fmt: skip
    if stochastic:
        document["family"] = document["name"] = "noisynet"
        for output in document["outputs"]:
            output["inv_std"] = f"{output['name']}_inv_std"
        document["outputs"] += [
            {"name": f"{n}_inv_std", "units": "s2 m-1", "point": "T", "kind": "coefficient"} for n in ("du", "dv")
        ]
        document["stochastic"] = {"kind": "gaussian", "time": "white", "levels": "independent"}
    return Contract.from_dict(document)


def convnet(outputs: int = 2) -> Any:
    """2 -> 32 -> 32 -> 2 channels, kernels 5, 3, 3, ReLU, no padding: 11 458 random weights; (k, 2, J, I) in."""
    import torch

    torch.manual_seed(1)
    layers = [torch.nn.Conv2d(2, 32, 5), torch.nn.ReLU(), torch.nn.Conv2d(32, 32, 3), torch.nn.ReLU()]
    last = torch.nn.Conv2d(32, outputs, 3)
    with torch.no_grad():  # tendencies of 1e-7 m s-2; a precision of 1e8 s2 m-1
        last.weight *= 1e-6
        last.bias *= 1e-6
        if outputs == 4:
            last.weight[2:] *= 0.0
            last.bias[2:] = 1e8
    return torch.nn.Sequential(*layers, last).eval()


def write_convnets(folder: Path, formats: tuple[str, ...] = ("onnx",)) -> dict[str, Path]:
    """The small network with and without 1/std outputs, as files."""
    from models.export import write

    made = write(lambda dtype: (convnet(), convnet_contract(False)), folder, ("f4",), formats)
    made += write(lambda dtype: (convnet(4), convnet_contract(True)), folder, ("f4",), ("onnx",))
    return {path.name: path for path in made}


class Loopback:
    """The transport of one rank without a peer: messages are arrays, copied as any transport copies them."""

    def __init__(self) -> None:
        self.rank, self._messages = 0, {}

    def define(self, plans: list[Plan], rng: np.random.Generator) -> None:
        """Make the messages, and fill those to the coupler, in 64 bits as they travel."""
        for plan in plans:
            payload = np.zeros(message_length(plan, 0))
            offset = 0
            for item, number in zip(plan.exchange.fields, plan.set_of, strict=True):
                size = plan.sets[number].requests[0].runs.size * item.levels
                payload[offset : offset + size] = _values(item.name, size, rng)
                offset += size
            self._messages[plan.exchange.number] = copies(plan, 0, payload)

    def receive(self, plan: Plan) -> None:
        """Copy the message into the stack."""
        for copy in self._messages[plan.exchange.number]:
            if copy.sign == 1:
                copy.block[...] = copy.message
            else:
                np.negative(copy.message, out=copy.block)

    def send(self, plan: Plan, kt: int, status: int) -> None:
        """Copy the stack into the message."""
        for copy in self._messages[plan.exchange.number]:
            copy.message[...] = copy.block


def _values(name: str, size: int, rng: np.random.Generator) -> np.ndarray:
    if name.endswith("mask"):
        return (np.arange(size) % 370 < 260).astype(float)  # land of 30 %, in one piece along i
    if name.startswith("e"):
        return np.full(size, 4e4)
    return np.full(size, 300.0) if name == "h" else rng.normal(size=size) * 0.1


class Rank:
    """One coupler rank with one network on the whole grid; `step(kt)` is one turn of the loop."""

    def __init__(self, case: Case, engine: Engine, switches: NamNet | None = None) -> None:
        """Everything bound, masks and metrics received."""
        contract = engine.contract
        static = [spec.name for spec in contract.inputs if spec.static] or ["umask", "vmask"]
        moving = [spec.name for spec in contract.inputs if not spec.static]
        self.net = Network(
            switches or NamNet(cn_name=contract.name),
            engine,
            {spec.name: Link(spec.name) for spec in contract.inputs},
            {name: Link(name) for name in ("du", "dv")},
        )
        made = {
            "static": tuple(_field(name, 1, "out") for name in static),
            "state": tuple(_field(name, case.levels, "out") for name in moving),
            "tendency": tuple(_field(name, case.levels, "in") for name in ("du", "dv")),
        }
        grid, box = Grid(case.nx, case.ny, case.boundary), Box(0, 0, case.nx, case.ny)
        into = {field.name: field for field in made["tendency"]}
        sources = {field.name: field for field in (*made["static"], *made["state"])}
        halo = max(self.net.halo(spec, sources[spec.name], into) for spec in contract.inputs)
        vectors = tuple(spec.name for spec in contract.inputs if spec.vector_pair)
        fill = {spec.name: spec.fill for spec in contract.inputs if isinstance(spec.fill, float)}
        self.plans = [
            make_plan(
                Exchange(n, name, "to_ocean", fields) if name == "tendency"
                else Exchange(n, name, "to_coupler", fields, static=name == "static", halo=halo),
                grid, ownership(grid, [box]), box, dtype=np.dtype(contract.dtype), fill=fill, vectors=vectors,
            )
            for n, (name, fields) in enumerate(made.items(), start=1)
        ]  # fmt: skip
        first, self.state, self.tendency = self.plans
        received = {name: plan for plan in self.plans[:2] for name in plan.views}
        site = Site(box, grid, 0, lambda values: values, 3600.0, lambda kt: None)  # type: ignore[arg-type,return-value]
        self.net.bind(received, dict.fromkeys(into, self.tendency), site)
        self.transport = Loopback()
        self.transport.define(self.plans, np.random.default_rng(1))
        self.transport.receive(first)
        self.net.take_static()
        self.fills = land_fills(self.state, received, fill)
        recorder = SimpleNamespace(answered=lambda *args: None)
        self.answers = Answers(self.tendency, self.transport, True, "zero", 10**9, recorder)  # type: ignore[arg-type]
        self.timers, self.watchdog = Timers(), Watchdog(60.0, print)

    def step(self, kt: int) -> None:
        """One step of `Run.loop`, without the wait."""
        self.transport.receive(self.state)
        for land in self.fills:
            land.apply()
        with self.timers("inference"), self.watchdog("network"):
            self.net.run(kt, Timers())
        self.answers.answer(kt, self.net.stages.fell)

    @property
    def haloed(self) -> int:
        """Bytes of the fields with halo."""
        return sum(plan.stack.nbytes for plan in self.plans[:2])


def _field(name: str, levels: int, direction: str) -> Field:
    point = POINTS.get(name) or (name[0] if name.endswith("mask") else name[-1]).upper()
    return Field(id=1, name=name, units="1", point=point, levels=levels, direction=direction)


def session_of(path: Path) -> ort.InferenceSession:
    """The bare engine, one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


class Laps:
    """Seconds per call of parts of a rank: methods replaced by timed ones."""

    def __init__(self, rank: Rank) -> None:
        self.seen: dict[str, list[float]] = defaultdict(list)
        self._sums: dict[str, float] = defaultdict(float)
        self.inputs: Mapping[str, np.ndarray] = {}
        stages = rank.net.stages
        run = rank.net.engine.run

        def keep(inputs: Mapping[str, np.ndarray], *args: Any) -> dict[str, np.ndarray]:
            self.inputs = inputs
            return run(inputs, *args)

        rank.net.engine.run = keep  # type: ignore[method-assign]
        for owner, name, lap in (
            (rank.transport, "receive", "unpack"),
            (rank.net, "compute", "compute"),
            (rank.net.engine, "run", "engine"),
            (stages, "finish", "guard"),
            (rank.answers, "answer", "answer"),
            *((outlet, "put", "outputs") for outlet in stages.outlets.values()),
            *((outlet.noise, "at", "noise") for outlet in stages.outlets.values() if outlet.noise is not None),
        ):
            setattr(owner, name, self._timed(getattr(owner, name), lap))

    def _timed(self, function: Callable[..., Any], lap: str) -> Callable[..., Any]:
        def timed(*args: Any) -> Any:
            start = time.perf_counter()
            result = function(*args)
            self._sums[lap] += time.perf_counter() - start
            return result

        return timed

    def close(self, path: float, bare: float) -> None:
        """End a round."""
        parts = dict(self._sums)
        self._sums.clear()
        noise = parts.get("noise", 0.0)
        parts["inputs"] = parts["compute"] - parts["engine"] - parts["outputs"]
        parts["outputs"] -= noise
        for name, seconds in (parts | {"noise": noise, "path": path, "bare": bare}).items():
            self.seen[name].append(seconds)

    def median(self, name: str) -> float:
        """Milliseconds."""
        return 1e3 * float(np.median(self.seen[name]))


def against_bare(case: Case, factor: float, seconds: float) -> Laps:
    """Rounds of path and bare engine in turn, for about `seconds`. factor: rn_noise."""
    rank = Rank(case, load_engine(case.artefact), NamNet(cn_name="net", rn_noise=factor, cn_policy="clip"))
    laps = Laps(rank)
    rank.step(1)
    session = session_of(case.artefact)
    nodes = [node.name for node in session.get_inputs()]
    tensors = [tensor.copy() for tensor in Tensors(rank.net.engine.contract).pack(laps.inputs)]
    feeds = dict(zip(nodes, tensors, strict=True))
    kt, end = 1, time.perf_counter() + seconds
    while kt < 20 or time.perf_counter() < end:
        kt += 1
        start = time.perf_counter()
        rank.step(kt)
        middle = time.perf_counter()
        session.run(None, feeds)
        laps.close(middle - start, time.perf_counter() - middle)
        if kt == 4:
            laps.seen.clear()  # first calls allocate
    return laps


def engines_of(name: str, folder: Path, aoti: bool) -> tuple[dict[str, Callable[..., Any]], Contract]:
    """The same network in every engine: name -> run(inputs)."""
    import torch

    from models.export import call, pack_pt2, trace, write
    from models.families import gz21, zb20

    torch.set_num_threads(1)
    if name == "gz21":
        torch.manual_seed(1)
        weights = {key: torch.randn(shape) * 0.05 for key, shape in gz21.WEIGHTS.items()}
        network, contract = gz21.network(weights), gz21.contract("f4", "")
    elif name == "zb20":
        network, contract = zb20.network(), zb20.contract("f8")
    else:
        network, contract = convnet(), convnet_contract(False)
    files = write(lambda dtype: (network, contract), folder, (contract.dtype,), ("onnx", "pt2", "pt"))
    engines = [load_engine(path, trust=True) for path in files]
    contract = engines[0].contract
    runs: dict[str, Callable[..., Any]] = {engine.name: engine.run for engine in engines}
    if aoti:
        package = folder / f"{name}_aoti.pt2"
        raw = torch._inductor.aoti_compile_and_package(
            trace(network, contract),
            package_path=str(package),
            inductor_configs={"aot_inductor.check_lowerbound": False},
        )
        import zipfile

        with zipfile.ZipFile(raw) as archive:
            members = {member: archive.read(member) for member in archive.namelist()}
        root = next(iter(members)).split("/")[0]
        package.write_bytes(pack_pt2(members | {f"{root}/extra/halocline.json": b""}, contract))
        runs["AOTInductor"] = load_engine(package, trust=True).run
    runs["eager"] = lambda inputs: call(network, contract, inputs)
    return runs, contract


def compare(name: str, shape: tuple[int, int, int], seconds: float, folder: Path, aoti: bool) -> dict[str, float]:
    """Milliseconds per call of every engine for an output of `shape` (k, nj, ni), rounds in turn."""
    from coupler.engines.selftest import sample_inputs

    runs, contract = engines_of(name, folder, aoti)
    inputs = sample_inputs(contract, shape)
    seen: dict[str, list[float]] = defaultdict(list)
    whole = None
    for engine, run in runs.items():
        results = run(inputs)
        whole = whole or {key: np.array(value) for key, value in results.items()}
        for key, value in results.items():  # the same network, to round-off
            assert np.abs(value - whole[key]).max() <= 1e-4 * np.abs(whole[key]).max(), (engine, key)
        run(inputs)
    end = time.perf_counter() + seconds
    while len(seen["eager"]) < 5 or time.perf_counter() < end:
        for engine, run in runs.items():
            for _ in range(5):  # the next engine finds the caches as this one left them
                start = time.perf_counter()
                run(inputs)
                seen[engine].append(time.perf_counter() - start)
    return {engine: 1e3 * float(np.median(values)) for engine, values in seen.items()}


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few rounds, no AOTInductor")
    args = parser.parse_args()
    seconds = 2.0 if args.quick else 10.0
    console = Console(width=132)
    print(f"load of the machine: {os.getloadavg()[0]:.2f}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        nets = write_convnets(folder)
        small, noisy = nets["convnet_f4.onnx"], nets["noisynet_f4.onnx"]
        table = Table(title="coupler path against the bare engine [ms]", title_justify="left")
        parts = ("unpack", "inputs", "engine", "noise", "outputs", "guard", "answer")
        for column in ("case", *parts, "path", "bare", "ratio", "more"):
            table.add_column(column, justify="right" if column != "case" else "left")
        for case, factor in (
            (Case(ZOO / "gz21_f4.onnx", 182, 149, 1, "fold_T"), 0.0),
            (Case(ZOO / "gz21_f4.onnx", 182, 149, 1, "fold_T"), 1.0),
            (Case(small, 62, 199, 1), 0.0),
            (Case(noisy, 62, 199, 1), 0.0),
            (Case(noisy, 62, 199, 1), 1.0),
            (Case(ZOO / "zb20_f8.onnx", 50, 50, 2), 0.0),
        ):
            laps = against_bare(case, factor, seconds)
            path, bare = laps.median("path"), laps.median("bare")
            row = [f"{laps.median(part):.3f}" for part in parts]
            row += [f"{path:.3f}", f"{bare:.3f}", f"{path / bare:.3f}", f"{path - bare:+.3f}"]
            table.add_row(case.title + (", noise" if factor else ""), *row)
        console.print(table)

        rows = Table(title="the same network in every engine, one thread [ms]", title_justify="left")
        columns = ("onnx", "torchscript", "exported", "AOTInductor", "eager")
        for column in ("network", *columns):
            rows.add_column(column, justify="right" if column != "network" else "left")
        for net, shape in (("convnet", (1, 199, 62)), ("gz21", (1, 149, 182)), ("zb20", (2, 50, 50))):
            # AOTInductor of torch 2 compiles no dynamic number of levels beside sizes of 1 (ZB20: "Invalid ranges [0:-1]").
            times = compare(net, shape, seconds, folder / net, not args.quick and net != "zb20")
            rows.add_row(f"{net} {shape[2]}x{shape[1]}x{shape[0]}", *(f"{times.get(c, np.nan):.2f}" for c in columns))
        console.print(rows)


if __name__ == "__main__":
    main()

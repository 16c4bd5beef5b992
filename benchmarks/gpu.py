"""What the coupler does around a network on a GPU, stage by stage, against what bytes and operations must cost there.

    python benchmarks/gpu.py            GZ21 on 182 x 149 x 31 cells; a minute on a GPU
    python benchmarks/gpu.py --chunks   the whole step with 1, 2, 4, ... chunks of levels too

Without a GPU one line says so, and the same stages run on the CPU on a small grid: a test of this script, not a measurement.
One coupler rank, 4 simulated ocean ranks, 64 bits on the wire, a tripolar grid, random weights. Floors: bytes over the
measured rate of a large copy of the same kind, operations of the convolutions over the measured rate of a matrix product.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from rich.console import Console
from rich.table import Table

from coupler.engines import resident
from coupler.engines.arrivals import Arrivals
from coupler.engines.base import load_engine
from coupler.engines.selftest import sample_inputs
from coupler.exchange import Exchange, buffers, make_plan
from coupler.fields import Field
from coupler.grid import Box, Grid, decompose, ownership
from coupler.links import Link
from coupler.network import Network
from coupler.settings import NamNet
from coupler.site import Site
from models.export import write
from models.families import gz21

GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda:0" if GPU else "cpu")
SIZE = (182, 149, 31) if GPU else (40, 30, 2)
BIG = 2**26 if GPU else 2**22  # numbers of the large copy
SIDE = 8192 if GPU else 512  # of the matrices
PRECISIONS = ("", "tf32", "bf16", "fp16") if GPU else ("", "bf16")
REPEATS = 20 if GPU else 3
POINTS = {"u": "U", "v": "V", "du": "U", "dv": "V"}


class Rank:
    """A coupler rank with GZ21 on a grid, its fields on the device; `net.compute(kt)` is a step without the transport."""

    def __init__(self, artefact: Path, size: tuple[int, int, int], precision: str = "", on_device: bool = True) -> None:
        engine = load_engine(artefact, trust=True, device=str(DEVICE), precision=precision)
        grid = Grid(*size[:2], "fold_T")
        box, owner = Box(0, 0, *size[:2]), ownership(grid, decompose(grid, 4))
        self.net = Network(
            NamNet(cn_name="gz21"), engine, {n: Link(n) for n in "uv"}, {n: Link(n) for n in ("du", "dv")}
        )
        self.net.on_device = on_device
        into, state = _fields(("du", "dv"), size[2], "in"), _fields(("u", "v"), size[2], "out")
        masks = _fields(("umask", "vmask"), 1, "out")
        halo = self.net.halo(engine.contract.inputs[0], state[0], {field.name: field for field in into})
        moving, static, sent = (
            make_plan(exchange, grid, owner, box, dtype=np.dtype("f4"), fill={"u": 0.0, "v": 0.0}, vectors=("u", "v"))
            for exchange in (
                Exchange(1, "state", "to_coupler", state, halo=halo),
                Exchange(2, "masks", "to_coupler", masks, static=True, halo=halo),
                Exchange(3, "tendency", "to_ocean", into),
            )
        )
        self.plan = moving
        received = {name: plan for plan in (moving, static) for name in plan.views}
        site = Site(box, grid, 0, lambda values: values, 3600.0, lambda kt: None)  # type: ignore[arg-type,return-value]
        self.net.bind(received, dict.fromkeys(("du", "dv"), sent), site)
        self.messages = buffers(moving, np.dtype("f8"), 64)
        rng = np.random.default_rng(1)
        static.stack[...] = rng.random(static.stack.shape) < 0.7
        for raw in self.messages.values():
            raw[64:].view("f8")[:] = 0.1 * rng.normal(size=(raw.size - 64) // 8)
        moving.stack[...] = 0.1 * rng.normal(size=moving.stack.shape)
        self.net.take_static()

    @property
    def arrivals(self) -> Arrivals:
        """The stack on the device."""
        assert self.net.resident is not None
        return self.net.resident.arrivals[0]

    def step(self, kt: int) -> None:
        """Messages to answers."""
        for landing in self.plan.landings:
            landing.arrived()
        self.net.compute(kt)


def _fields(names: tuple[str, ...], levels: int, direction: str) -> tuple[Field, ...]:
    return tuple(
        Field(id=1, name=n, units="1", point=POINTS.get(n) or n[0].upper(), levels=levels, direction=direction)  # type: ignore[arg-type]
        for n in names
    )


def seconds(work: Callable[[], object]) -> float:
    """Median time of `work` on the queue of the device, by events; on the CPU by the clock."""
    seen = []
    for number in range(REPEATS + 3):
        if GPU:
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            work()
            end.record()
            end.synchronize()
            seen.append(begin.elapsed_time(end) * 1e-3)
        else:
            start = time.perf_counter()
            work()
            seen.append(time.perf_counter() - start)
        if number == 2:
            seen.clear()  # first calls allocate and choose kernels
    return float(np.median(seen))


def wall(work: Callable[[int], object]) -> float:
    """Median time of a step on the host, which waits for its end."""
    seen = []
    for kt in range(1, REPEATS + 4):
        start = time.perf_counter()
        work(kt)
        seen.append(time.perf_counter() - start)
    return float(np.median(seen[3:]))


def copy_rates() -> dict[str, float]:
    """Bytes per second of large copies: host to device, device to host, and on the device, where a byte is read and written."""
    here = torch.zeros(BIG, pin_memory=GPU)
    there, other = torch.zeros(BIG, device=DEVICE), torch.zeros(BIG, device=DEVICE)
    size = 4.0 * BIG
    return {
        "in": size / seconds(lambda: there.copy_(here, non_blocking=True)),
        "out": size / seconds(lambda: here.copy_(there, non_blocking=True)),
        "on": 2 * size / seconds(lambda: other.copy_(there)),
    }


def matmul_rate(precision: str) -> float:
    """Operations per second of a large matrix product."""
    kind = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision, torch.float32)
    a, b = (torch.randn(SIDE, SIDE, device=DEVICE).to(kind) for _ in range(2))
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    took = seconds(lambda: a @ b)
    torch.backends.cuda.matmul.allow_tf32 = before
    return 2.0 * SIDE**3 / took


def operations(size: tuple[int, int, int]) -> float:
    """Multiplications and additions of GZ21's convolutions on a block that is padded by radius and margin."""
    nx, ny, levels = size
    nj, ni = ny + 2 + 20, nx + 2 + 20
    total = 0.0
    for shape in gz21.WEIGHTS.values():
        if len(shape) == 4:
            nj, ni = nj - shape[2] + 1, ni - shape[3] + 1
            total += 2.0 * np.prod(shape) * nj * ni
    return total * levels


def stages(
    rank: Rank, size: tuple[int, int, int], rates: dict[str, float], precision: str
) -> list[tuple[str, float, float]]:
    """(stage, seconds, floor) of one step, each stage alone; no floor for the noise, which is integer arithmetic."""
    net, arrivals = rank.net.resident, rank.arrivals
    assert net is not None
    rank.step(1)
    levels = slice(0, size[2])
    raw, here = arrivals.raw[: arrivals.here.numel()], arrivals.here
    cells, wire = arrivals.stack.numel(), arrivals.here.numel() * 8
    made, out = 2 * np.prod(net.shape) * 4, net.there[0].numel() * 4
    calls = count(1)
    with torch.inference_mode():
        results = net.infer(levels)
        work = {
            "copy in": (lambda: raw.copy_(here, non_blocking=True), wire / rates["in"]),
            # The cast reads 8 and writes 4 bytes; the gather reads an index and a number, and writes one; the sign multiplies.
            "halo gather": (arrivals.gather, (1.5 * wire + cells * (4 + 4 + 4) + cells * 9) / rates["on"]),
            "staggering, stacking": (net.make_inputs, (4 * cells + made) / rates["on"]),
            "network": (lambda: net.infer(levels), operations(size) / matmul_rate(precision)),
            "noise drawn": (lambda: net.draw_out(next(calls)), np.nan),
            "sampling, staggering, mask": (lambda: net.put_out(levels, results, net.there[0]), 4 * out / rates["on"]),
            "copy back": (lambda: net.here[0].copy_(net.there[0], non_blocking=True), out / rates["out"]),
        }
        return [(name, seconds(function), float(floor)) for name, (function, floor) in work.items()]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chunks", action="store_true", help="the whole step with several numbers of chunks")
    args = parser.parse_args()
    console = Console(width=132)
    if GPU:
        print(f"{torch.cuda.get_device_name(DEVICE)}, torch {torch.__version__}, CUDA {torch.version.cuda}")
    else:
        print("no GPU here: the same stages on the CPU, on a small grid; these numbers measure nothing")
    torch.set_num_threads(1)
    torch.manual_seed(1)
    weights = {key: torch.randn(shape) * 0.05 for key, shape in gz21.WEIGHTS.items()}
    with tempfile.TemporaryDirectory() as folder:
        files = write(
            lambda dtype: (gz21.network(weights), gz21.contract("f4", "")), Path(folder), ("f4",), ("pt2", "onnx")
        )
        made = {path.suffix: path for path in files}
        whole = resident.chunks_on
        resident.chunks_on = lambda *args: 1
        rates = copy_rates()
        print(", ".join(f"{name}: {rate * 1e-9:.1f} GB/s" for name, rate in rates.items()))
        _print_stages(console, made[".pt2"], rates)
        _print_precisions(console, made[".pt2"])
        _print_steps(console, made)
        if args.chunks:
            for number in (1, 2, 4, 8):
                resident.chunks_on = lambda *args, number=number: number
                print(f"{number} chunk(s): {1e3 * wall(Rank(made['.pt2'], SIZE).step):.2f} ms")
            resident.chunks_on = whole
            print(f"as chosen: {1e3 * wall(Rank(made['.pt2'], SIZE).step):.2f} ms")


def _print_stages(console: Console, artefact: Path, rates: dict[str, float]) -> None:
    for levels in sorted({1, SIZE[2]}):
        size = (*SIZE[:2], levels)
        table = Table(title=f"GZ21 on {'x'.join(map(str, size))}, float32 [ms]", title_justify="left")
        for column in ("stage", "time", "floor", "time/floor"):
            table.add_column(column, justify="left" if column == "stage" else "right")
        for name, took, floor in stages(Rank(artefact, size), size, rates, ""):
            table.add_row(name, f"{1e3 * took:.3f}", f"{1e3 * floor:.3f}", f"{took / floor:.2f}")
        console.print(table)


def _print_precisions(console: Console, artefact: Path) -> None:
    table = Table(title=f"precision, {'x'.join(map(str, SIZE))}", title_justify="left")
    for column in ("arithmetic", "network [ms]", "floor [ms]", "time/floor", "error"):
        table.add_column(column, justify="left" if column in ("arithmetic", "error") else "right")
    for precision in PRECISIONS:
        rank = Rank(artefact, SIZE, precision)
        net = rank.net.resident
        assert net is not None
        rank.step(1)
        took = seconds(lambda net=net: net.infer(slice(0, SIZE[2])))
        floor = operations(SIZE) / matmul_rate(precision)
        error = next((note for note in rank.net.engine.notes if note.startswith(precision)), "") if precision else ""
        row = (precision or "float32", f"{1e3 * took:.2f}", f"{1e3 * floor:.2f}", f"{took / floor:.2f}", error)
        table.add_row(*row)
    console.print(table)


def _print_steps(console: Console, made: dict[str, Path]) -> None:
    """The whole step on the host's clock: fields that stay, fields that the CPU makes, one level at a time, onnxruntime."""
    table = Table(title=f"a step, {'x'.join(map(str, SIZE))} [ms]", title_justify="left")
    table.add_column("path")
    table.add_column("time", justify="right")
    table.add_row("fields stay on the device", f"{1e3 * wall(Rank(made['.pt2'], SIZE).step):.2f}")
    onto = Rank(made[".pt2"], SIZE)
    onto.net.resident = None
    table.add_row("inputs and outputs made on the CPU", f"{1e3 * wall(onto.step):.2f}")
    one = Rank(made[".pt2"], (*SIZE[:2], 1))
    table.add_row(f"{SIZE[2]} calls of one level", f"{1e3 * SIZE[2] * wall(one.step):.2f}")
    if "CUDAExecutionProvider" in ort.get_available_providers() or not GPU:
        engine = load_engine(made[".onnx"], device=str(DEVICE))
        inputs = sample_inputs(engine.contract, (SIZE[2], SIZE[1], SIZE[0]))
        table.add_row(
            f"onnxruntime on {engine.device}, network alone", f"{1e3 * wall(lambda kt: engine.run(inputs)):.2f}"
        )
    console.print(table)


if __name__ == "__main__":
    main()

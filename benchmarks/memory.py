"""Memory of a coupler rank: its peak over what it has after the imports, against fields and bare engine; growth over many calls.

    python benchmarks/memory.py               the tables of README.md, about two minutes
    python benchmarks/memory.py --quick       fewer calls

The aim: peak <= idle + 4 x the bytes of the fields with halo + what the bare engine takes for the same tensor; with tiling
(rn_maxmem) below that limit. Every number is from a process of its own: VmHWM, the kernel's peak of resident memory.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from inference import ZOO, Case, Rank, session_of, write_convnets
from rich.console import Console
from rich.table import Table

MB = 1e6
LEAK_CALLS = 10_000


def resident(key: str) -> float:
    """VmRSS or VmHWM of this process [bytes]."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key))
    return float(line.split()[1]) * 1024.0


def child(kind: str, case: Case, calls: int, maxmem: float) -> dict[str, float]:
    """What one process measures: 'rank', 'bare' (the engine alone), or 'leak' (a rank's growth after 100 calls)."""
    import coupler.loop  # noqa: F401  everything that a coupler rank imports
    from coupler.engines.base import load_engine
    from coupler.engines.selftest import self_test
    from coupler.engines.tensors import Tensors
    from coupler.engines.tiled import TiledEngine
    from coupler.settings import NamNet

    idle = resident("VmRSS")
    if kind == "bare":
        import numpy as np

        session = session_of(case.artefact)
        shapes = json.loads(os.environ["SHAPES"])
        dtype = {"tensor(float)": "f4", "tensor(double)": "f8"}[session.get_inputs()[0].type]
        feeds = {node.name: np.ones(shape, dtype) for node, shape in zip(session.get_inputs(), shapes, strict=True)}
        for _ in range(calls):
            session.run(None, feeds)
        return {"took": resident("VmHWM") - idle}
    engine = load_engine(case.artefact)
    loaded = resident("VmRSS") - idle
    if maxmem:
        engine = TiledEngine(engine, maxmem)
    rank = Rank(case, engine, NamNet(cn_name="net", cn_policy="clip"))
    if engine.contract.self_test and kind == "rank":
        self_test(engine)
    inputs: dict = {}
    run = engine.run
    engine.run = lambda fields, *args: inputs.update(fields) or run(fields, *args)  # type: ignore[method-assign]
    rank.step(1)
    shapes = [tensor.shape for tensor in Tensors(engine.contract).pack(inputs)]
    engine.run = run  # type: ignore[method-assign]
    for kt in range(2, min(calls, 100) + 1):
        rank.step(kt)
    early = resident("VmRSS")
    for kt in range(101, calls + 1):
        rank.step(kt)
    return {
        "idle": idle, "loaded": loaded, "took": resident("VmHWM") - idle, "fields": rank.haloed,
        "grew": resident("VmRSS") - early, "shapes": shapes,
    }  # type: ignore[dict-item]  # fmt: skip


def measure(kind: str, case: Case, calls: int, maxmem: float = 0.0, shapes: object = None) -> dict[str, float]:
    """`child` in a fresh process."""
    document = asdict(case) | {"artefact": str(case.artefact)}
    command = [sys.executable, __file__, "--child", kind, json.dumps(document), str(calls), str(maxmem)]
    environment = os.environ | {"SHAPES": json.dumps(shapes), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer calls")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        kind, document, calls, maxmem = args.child
        case = json.loads(document)
        case["artefact"] = Path(case["artefact"])
        print(json.dumps(child(kind, Case(**case), int(calls), float(maxmem))))
        return
    console = Console(width=132)
    with tempfile.TemporaryDirectory() as name:
        small = write_convnets(Path(name))["convnet_f4.onnx"]
        cases = (
            Case(ZOO / "gz21_f4.onnx", 182, 149, 1, "fold_T"),
            Case(ZOO / "gz21_f4.onnx", 182, 149, 4, "fold_T"),
            Case(small, 62, 199, 31),
            Case(ZOO / "zb20_f8.onnx", 50, 50, 2),
            Case(ZOO / "zb20_f8.onnx", 182, 149, 31),
        )
        table = Table(title="peak of a coupler rank over its idle size [MB]", title_justify="left")
        for column in ("case", "idle", "fields", "bare engine", "rank", "allowed", "rank/allowed"):
            table.add_column(column, justify="right" if column != "case" else "left")
        limits = Table(
            title="with rn_maxmem: peak over the loaded network and 4 x the fields [MB]", title_justify="left"
        )
        for column in ("case", "rn_maxmem", "without", "with", "with/limit"):
            limits.add_column(column, justify="right" if column != "case" else "left")
        for case in cases:
            rank = measure("rank", case, 10)
            bare = measure("bare", case, 10, shapes=rank["shapes"])
            allowed = 4 * rank["fields"] + bare["took"]
            row = [rank["idle"], rank["fields"], bare["took"], rank["took"], allowed]
            table.add_row(case.title, *(f"{x / MB:.1f}" for x in row), f"{rank['took'] / allowed:.2f}")
            limit = bare["took"] / MB / 2
            if limit > 20:
                runs = (rank, measure("rank", case, 10, maxmem=limit))
                without, tiled = ((one["took"] - one["loaded"] - 4 * one["fields"]) / MB for one in runs)
                limits.add_row(case.title, *(f"{x:.0f}" for x in (limit, without, tiled)), f"{tiled / limit:.2f}")
        console.print(table)
        console.print(limits)
        calls = LEAK_CALLS // (10 if args.quick else 1)
        for case in (Case(ZOO / "zb20_f8.onnx", 50, 50, 2), Case(small, 62, 199, 1)):
            grew = measure("leak", case, calls)["grew"]
            print(f"{case.title}: resident memory grew by {grew / 1024:.0f} kB from call 100 to call {calls}")


if __name__ == "__main__":
    main()

"""Coarsening of NEMO files that are larger than memory: peak of resident memory over what the imports take, against rn_maxmem.

    python benchmarks/coarsen.py              4.4 GB of fields with 400 MB, some minutes; needs 1 GB of disk
    python benchmarks/coarsen.py --quick      0.5 GB of fields with 200 MB and 130 MB, a minute

The files are made here, compressed; sizes are those of the fields in memory. Every row is a process of its own whose address
space is limited (RLIMIT_AS) to what it has after the imports, 1 GB of room for threads' stacks, and rn_maxmem: a process that
held the fields would be refused the memory. The aim: peak <= idle + rn_maxmem.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import netCDF4
import numpy as np
from rich.console import Console
from rich.table import Table

MB = 1e6
ROOM = 1000 * MB
NAMES = {"T": ("votemper", "vosaline"), "U": ("vozocrtx",), "V": ("vomecrty",)}


def memory(key: str) -> float:
    """VmRSS, VmHWM or VmSize of this process [bytes]."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key))
    return float(line.split()[1]) * 1024.0


def write_files(folder: Path, ny: int, nx: int, depth: int, times: int) -> float:
    """A closed basin with an island, and eddies that drift; returns the size of the fields in memory [bytes]."""
    j, i = np.meshgrid(np.arange(ny), np.arange(nx), indexing="ij")
    tmask = np.ones((depth, ny, nx), dtype="i1")
    tmask[:, [0, -1], :] = tmask[:, :, [0, -1]] = 0
    tmask[:, ny // 3 : ny // 2, nx // 3 : nx // 2] = 0
    with netCDF4.Dataset(folder / "mesh_mask.nc", "w") as mesh:
        for name, size in (("t", 1), ("nav_lev", depth), ("y", ny), ("x", nx)):
            mesh.createDimension(name, size)
        for point in "tuvf":
            for name, values in (("glam", i), ("gphi", j), ("e1", 1e4), ("e2", 1e4)):
                mesh.createVariable(name + point, "f8", ("t", "y", "x"), zlib=True, complevel=1)[:] = values
        mesh.createVariable("ff_f", "f8", ("t", "y", "x"), zlib=True)[:] = 1e-4
        mesh.createVariable("e3t_1d", "f8", ("t", "nav_lev"))[:] = 100.0
        mesh.createVariable("tmask", "i1", ("t", "nav_lev", "y", "x"), zlib=True, complevel=1)[:] = tmask
    for point, names in NAMES.items():
        with netCDF4.Dataset(folder / f"BIG_grid_{point}.nc", "w") as file:
            for name, size in (("time_counter", None), ("depth" + point.lower(), depth), ("y", ny), ("x", nx)):
                file.createDimension(name, size)
            clock = file.createVariable("time_counter", "f8", ("time_counter",))
            clock.units, clock.calendar = "days since 2000-01-01", "noleap"
            clock[:] = np.arange(times)
            chunks = (1, 1, ny, nx)
            for name in names:
                dims = ("time_counter", "depth" + point.lower(), "y", "x")
                variable = file.createVariable(
                    name, "f4", dims, zlib=True, complevel=1, chunksizes=chunks, least_significant_digit=2
                )
                for t in range(times):
                    eddies = np.sin(2 * np.pi * (i + t) / 40) * np.sin(2 * np.pi * j / 30)
                    for k in range(depth):
                        variable[t, k] = tmask[k] * eddies * (1 - k / depth)
    return 4.0 * sum(map(len, NAMES.values())) * times * depth * ny * nx


def child(folder: Path, maxmem: float) -> dict[str, float]:
    """Coarsen in this process; what it took."""
    from models.data.nemo_coarsen import coarsen_nemo

    idle, space = memory("VmRSS"), memory("VmSize")
    limit = int(space + ROOM + maxmem * MB)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    cfg = folder / f"cfg{maxmem:g}"
    cfg.mkdir()
    (cfg / "namelist_cfg").write_text(
        f"&namcoarsen\n cn_source='nemo', cn_truth='{folder}', cn_files='BIG_*.nc', nn_factor=4\n"
        f" cn_filter='gaussian', rn_sigma=20000., ln_advective=.true., rn_maxmem={maxmem}\n/\n"
    )
    start = time.perf_counter()
    out = coarsen_nemo(cfg, folder / f"out{maxmem:g}.zarr", progress=False)
    seconds = time.perf_counter() - start
    levels = json.loads(json.loads((out / "zarr.json").read_text())["attributes"]["provenance"])["levels_at_once"]
    return {"peak": memory("VmHWM") - idle, "seconds": seconds, "idle": idle, "levels": levels}


def main() -> None:
    """The table, or one row in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--child", nargs=2, metavar=("FOLDER", "MB"))
    options = parser.parse_args()
    if options.child:
        print(json.dumps(child(Path(options.child[0]), float(options.child[1]))))
        return
    shape, limits = ((240, 320, 20, 20), (200.0, 130.0)) if options.quick else ((480, 640, 30, 30), (400.0,))
    table = Table(
        "fields MB", "rn_maxmem MB", "idle MB", "peak over idle MB", "levels at once", "seconds", "fields MB/s"
    )
    with tempfile.TemporaryDirectory() as scratch:
        size = write_files(Path(scratch), *shape)
        for limit in limits:
            command = [sys.executable, __file__, "--child", scratch, str(limit)]
            row = json.loads(
                subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1]
            )
            table.add_row(
                f"{size / MB:.0f}",
                f"{limit:g}",
                f"{row['idle'] / MB:.0f}",
                f"{row['peak'] / MB:.0f}",
                f"{row['levels']:.0f}",
                f"{row['seconds']:.0f}",
                f"{size / MB / row['seconds']:.0f}",
            )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()

"""A zarr group larger than memory: laid out first, filled block by block, renamed when it is whole."""

import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import xarray as xr
import zarr

from coupler.errors import HaloclineError
from models.data import store

LEAST = 4  # no ocean compresses better than this (half land, the rest by 2): less room is refused at once


@dataclass(frozen=True)
class Layout:
    """One variable: its dimensions (of time, k, y, x) and CF attributes; single precision."""

    dims: tuple[str, ...]
    attrs: Mapping[str, str]


class Blocks:
    """Writes PATH.part in blocks of one time and `levels` levels; PATH when all went well, else nothing.

    sizes: of time, k, y, x. whole: small variables, written at once. An older PATH stays until the new one is whole.
    HaloclineError when the disk has too little room, at the start or in between, or cannot be written.
    """

    def __init__(
        self, path: Path, sizes: Mapping[str, int], levels: int, layout: Mapping[str, Layout], whole: xr.Dataset
    ) -> None:
        store.check_place(path)
        self.path, self.part = path, path.with_name(path.name + ".part")
        self.sizes, self.layout, self.whole = sizes, layout, whole
        self.chunks = {"time": 1, "k": levels, "y": sizes["y"], "x": sizes["x"]}
        self.arrays: dict[str, zarr.Array] = {}

    def __enter__(self) -> "Blocks":
        shapes = {name: tuple(self.sizes[dim] for dim in variable.dims) for name, variable in self.layout.items()}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(self.part, ignore_errors=True)
            least = 4.0 * sum(math.prod(shape) for shape in shapes.values()) / LEAST
            free = shutil.disk_usage(self.path.parent).free
            if least > free:
                raise self._full(f"at least {least / 1e6:.0f} MB are needed, {free / 1e6:.0f} MB are free")
            self.whole.to_zarr(self.part, mode="w", consolidated=False, zarr_format=3)
            group = zarr.open_group(self.part, mode="a")
            for name, variable in self.layout.items():
                self.arrays[name] = group.create_array(
                    name,
                    shape=shapes[name],
                    chunks=tuple(self.chunks[dim] for dim in variable.dims),
                    dtype="float32",
                    dimension_names=variable.dims,
                    attributes=dict(variable.attrs),
                )
        except OSError as error:
            shutil.rmtree(self.part, ignore_errors=True)
            raise self._full(str(error.strerror or error)) from None
        return self

    def put(self, values: Mapping[str, np.ndarray], time: int = 0, level: int = 0) -> None:
        """Write a block of variables: (levels, y, x) from `level` on, or (y, x); at index `time` those that have time."""
        for name, array in values.items():
            dims = self.layout[name].dims
            place: list[int | slice] = [time] if "time" in dims else []
            if "k" in dims:
                place.append(slice(level, level + len(array)))
            try:
                self.arrays[name][tuple(place)] = array.astype(np.float32)
            except OSError as error:
                raise self._full(str(error.strerror or error)) from None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            shutil.rmtree(self.part, ignore_errors=True)
            return
        if self.path.exists():
            shutil.rmtree(self.path)
        self.part.rename(self.path)

    def _full(self, reason: str) -> HaloclineError:
        return HaloclineError(
            f"cannot write {self.path}: {reason}.\n  Nothing was left behind. Make room, or choose another folder."
        )

"""MOM6's file of an artificial neural network: layer sizes, weights and a test pair as NetCDF (MOM_ANN.F90)."""

import os
from pathlib import Path

import netCDF4
import numpy as np

from coupler.errors import HaloclineError
from models.families.trainable import Trainable

TOLERANCE = 1e-12  # of the stored test pair; MOM6 itself compares them at start


def write(network: Trainable, path: Path) -> Path:
    """The variables of `network.mom6()`, read back and run against their test pair. HaloclineError where they do not agree."""
    variables = network.mom6() if hasattr(network, "mom6") else {}
    if not variables:
        raise HaloclineError(f"the family '{network.family}' has no form for MOM6; 'stress_ann' has one.")
    part = path.with_name(f"{path.name}.part")
    with netCDF4.Dataset(part, "w", format="NETCDF3_64BIT_OFFSET") as file:
        for name, values in variables.items():
            array = np.asarray(values)
            dims = tuple(f"{name}_{axis}" for axis in range(array.ndim))
            for dim, size in zip(dims, array.shape, strict=True):
                file.createDimension(dim, size)
            file.createVariable(name, array.dtype, dims)[...] = array
    stored = read(part)
    found, wanted = run(stored, stored["x_test"]), stored["y_test"]
    if not np.allclose(found, wanted, rtol=0, atol=TOLERANCE * max(1.0, float(np.abs(wanted).max()))):
        part.unlink()
        raise HaloclineError(f"{path}: the network that was written does not give its stored answer. It is not kept.")
    os.replace(part, path)
    return path


def read(path: Path) -> dict[str, np.ndarray]:
    """All variables of the file."""
    with netCDF4.Dataset(path) as file:
        return {name: np.asarray(variable[...]) for name, variable in file.variables.items()}


def run(variables: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """What MOM6 computes: x / input_norms, layers x A + b with ReLU between them, times output_norms; x (inputs,)."""
    y, last = x / variables["input_norms"], int(variables["num_layers"]) - 2
    for layer in range(last + 1):
        y = y @ variables[f"A{layer}"] + variables[f"b{layer}"]
        y = np.maximum(y, 0.0) if layer < last else y
    return y * variables["output_norms"]

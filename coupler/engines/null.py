"""An engine that returns zeros: measures the coupling itself, and proves that it changes nothing."""

from collections.abc import Mapping, Sequence

import numpy as np

from coupler.contract import Contract, OutputSpec
from coupler.engines.arrays import Arrays
from coupler.errors import HaloclineError


class NullEngine:
    """Zeros for the named outputs; accepts any inputs, needs no halo."""

    name = "null"
    threads = 1
    device = "cpu"
    sha256 = ""
    notes: tuple[str, ...] = ()

    def __init__(self, outputs: Sequence[OutputSpec], dtype: str = "f8") -> None:
        """HaloclineError if no output is named."""
        if not outputs:
            raise HaloclineError("engine 'null' was given no outputs. Name the outputs of the network in the namelist.")
        self.contract = Contract.from_dict(
            {
                "name": "null", "version": "1", "family": "null", "license": "MIT", "radius": 0, "dtype": dtype,
                "decomposition": "bitwise", "outputs": [spec.model_dump() for spec in outputs],
            },
            "engine 'null'",
        )  # fmt: skip
        self._zeros: dict[tuple[int, ...], np.ndarray] = {}
        self.description = f"zeros for {', '.join(spec.name for spec in outputs)}"

    def run(
        self, inputs: Arrays, noise: Arrays | None = None, scalars: Mapping[str, float] | None = None
    ) -> dict[str, np.ndarray]:
        """Zeros (k, nj, ni); k is the largest of the inputs, nj and ni are theirs."""
        if not inputs:
            raise HaloclineError("engine 'null' takes its shape from the inputs, and got none. Name one input.")
        k = max(array.shape[0] for array in inputs.values())
        plane = next(iter(inputs.values())).shape[1:]
        outputs = {}
        for out in self.contract.outputs:
            shape = (k if out.levels == "all" else out.levels, *plane)
            if shape not in self._zeros:
                self._zeros[shape] = np.zeros(shape, self.contract.dtype)
            outputs[out.name] = self._zeros[shape]
        return outputs

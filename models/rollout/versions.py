"""Numbered artefacts of a network that is being trained: one graph, traced once, into which weights are put.

Tracing takes seconds, putting weights in takes milliseconds. The coupler runs the stored self-test of every version that it
takes, so a weight in a wrong place would end the run.
"""

import copy
import hashlib
import os
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from coupler.artefacts.page import contract_of
from coupler.contract import Contract
from coupler.engines.selftest import sample_inputs, with_stored
from coupler.errors import HaloclineError
from models import export
from models.data.statistics import Statistics
from models.families import trainable
from models.families.trainable import Trainable
from models.settings import NamTrain


class Version(NamedTuple):
    """One artefact: its number, file and sha256."""

    number: int
    path: Path
    sha256: str


class Versions:
    """Writes NAME_vNNNNN.onnx of a network's present weights."""

    def __init__(self, network: Trainable, train: NamTrain, numbers: Statistics, facts: dict[str, str]) -> None:
        """Trace the graph with weights that are all different, and find each of them in it."""
        self.name = train.cn_name
        marked = copy.deepcopy(network).cpu().eval()
        stream = torch.Generator().manual_seed(0)
        for weight in marked.parameters():
            weight.data = 0.05 * torch.randn(weight.shape, generator=stream)
        with tempfile.TemporaryDirectory(prefix="halocline_version_") as folder:
            made = export.write(
                lambda dtype: (marked, trainable.contract(marked, train, numbers, facts, dtype)),
                Path(folder),
                ("f4",),
                ["onnx"],
            )
            self.model, self.contract = onnx.load(made[0]), contract_of(made[0])
        self.places = self._places(marked)

    def _places(self, marked: Trainable) -> dict[str, list[int]]:
        """Weight -> the graph's tensors that hold it. HaloclineError for a graph that has folded a weight."""
        tensors = [numpy_helper.to_array(tensor) for tensor in self.model.graph.initializer]
        found = {}
        for name, weight in marked.named_parameters():
            values = weight.detach().numpy()
            found[name] = [n for n, tensor in enumerate(tensors) if np.array_equal(tensor, values)]
            if not found[name]:
                raise HaloclineError(
                    f"the ONNX graph of family '{marked.family}' does not hold the weight '{name}' as it is, so that it cannot be "
                    "exchanged during a run. Train this family with cn_mode = 'offline' or 'online'."
                )
        return found

    def write(self, network: Trainable, number: int, folder: Path) -> Version:
        """The artefact of the network's weights as version `number`. HaloclineError when the disk refuses."""
        for name, weight in network.named_parameters():
            for place in self.places[name]:
                old = self.model.graph.initializer[place]
                old.CopyFrom(numpy_helper.from_array(weight.detach().cpu().numpy(), old.name))
        contract = self._contract(network, number)
        path = folder / f"{self.name}_v{number:05d}.onnx"
        part = path.with_name(f"{path.name}.part")
        content = export.pack_onnx(self.model, contract)
        try:
            part.write_bytes(content)
            os.replace(part, path)
        except OSError as error:
            raise HaloclineError(f"cannot write {path}: {error.strerror}. Make room, then run again.") from None
        return Version(number, path, hashlib.sha256(content).hexdigest())

    def _contract(self, network: Trainable, number: int) -> Contract:
        """The contract with this number, and the answers of these weights in its self-test."""
        contract = self.contract.model_copy(update={"version": str(number)})
        assert contract.self_test is not None  # export.write gives one
        answers = export.call(network, contract, sample_inputs(contract, contract.self_test.shape))
        return with_stored(contract, answers)

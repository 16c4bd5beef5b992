"""The coupled restart: what the coupler must remember so that a run continues bit for bit, on any number of ranks."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from coupler.answers import Answers
from coupler.errors import HaloclineError
from coupler.fields import Field
from coupler.grid import Box
from coupler.handshake import Handshake
from coupler.io import read_fields, write_fields
from coupler.network import Network
from coupler.settings import Settings
from coupler.transport.base import Transport

FORMAT = 2  # of the file; 1 held lagged answers alone


def restart_name(kt: int) -> Path:
    """The file of the restart that the ocean writes at the end of step `kt`."""
    return Path(f"halocline_{kt:08d}_restart.nc")


@dataclass(frozen=True)
class Memory:
    """Everything that has a state: the answers to the ocean, and the networks with noise, guards and held values."""

    settings: Settings
    shake: Handshake
    answers: Sequence[Answers]
    networks: Sequence[Network]
    boxes: Mapping[int, Box]

    def write(self, kt: int, transport: Transport) -> None:
        """Write the state after step `kt`. Collective over the coupler."""
        mine = [
            (field, self.boxes[field.grid].j0, self.boxes[field.grid].i0, np.array(values, np.float64))
            for field, values in self._fields()
        ]
        gathered = transport.gather((mine, {net.name: net.stages.counters() for net in self.networks}))
        if gathered is None:
            return
        counters: dict[str, dict[str, int]] = {}
        for _, counted in gathered:
            for name, counts in counted.items():
                known = counters.setdefault(name, {})
                for key, count in counts.items():
                    known[key] = known.get(key, 0) + count
        pieces = [(field.name, j0, i0, values) for part, _ in gathered for field, j0, i0, values in part]
        shapes = [(part.ny, part.nx) for part in self.shake.grids]
        attributes = {**self._identity(), "kt": kt, "counters": json.dumps(counters)}
        write_fields(restart_name(kt), shapes, [field for field, *_ in mine], pieces, attributes)

    def read(self, path: Path, rank: int) -> None:
        """Put the state of a restart back on this rank.

        Raises HaloclineError for a file of another format, step, grid, seed or artefact; nothing is used then.
        """
        try:
            fields, attributes = read_fields(path)
        except HaloclineError as error:
            raise HaloclineError(
                f"{error}\n  {self.settings.namcpl.where('cn_rst_in')}. Name the restart of the coupler, or leave cn_rst_in out."
            ) from None
        self._compare(path, attributes)
        counters = json.loads(str(attributes["counters"]))
        for field, values in self._answers():
            whole, part = fields.get(field.name), self.shake.grids[field.grid - 1]
            want = (values.shape[0], part.ny, part.nx)
            if whole is None or whole.shape != want:
                got = "is not there" if whole is None else f"has the shape {whole.shape}"
                raise HaloclineError(f"the restart {path}: '{field.name}' {got}, needed is {want}.")

        def cut(name: str, grid: int) -> np.ndarray:
            box = self.boxes[grid]
            return fields[name][:, box.j0 : box.j0 + box.nj, box.i0 : box.i0 + box.ni]

        for answer in self.answers:
            answer.restore({name: cut(name, answer.exchange.grid) for name in answer.state()})
        kt = int(attributes["kt"])
        for net in self.networks:
            call = (kt - 1) // net.period
            for name, noise in net.stages.memories().items():
                drawn = fields.get(f"noise__{net.name}__{name}")
                if drawn is not None:  # absent: the network had not run yet
                    noise.restore(drawn, call)
            start = f"last__{net.name}__"
            last = {name.removeprefix(start): cut(name, net.grid) for name in fields if name.startswith(start)}
            net.stages.restore(last, counters.get(net.name, {}) if rank == 0 else {})

    def _answers(self) -> list[tuple[Field, np.ndarray]]:
        """Answers to the ocean, as fields 'now_FIELD' and 'next_FIELD'."""
        result = []
        for answer in self.answers:
            known = {field.name: field for field in answer.exchange.fields}
            for name, values in answer.state().items():
                result.append((known[name.partition("_")[2]].model_copy(update={"name": name}), values))
        return result

    def _fields(self) -> list[tuple[Field, np.ndarray]]:
        """Every array of the state, (levels, nj, ni) of this rank, with a name of its own."""
        result = self._answers()
        for net in self.networks:
            for name, memory in net.stages.memories().items():
                drawn = memory.interior(net.stages.halos[name])
                if drawn is not None:
                    result.append((_field(f"noise__{net.name}__{name}", net, drawn), drawn))
            for name, values in net.stages.state().items():
                result.append((_field(f"last__{net.name}__{name}", net, values), values))
        return result

    def _identity(self) -> dict[str, str | int | float]:
        """What a later run must agree with."""
        cpl = self.settings.namcpl
        networks = {net.name: net.engine.sha256 for net in self.networks}
        grids = [[part.nx, part.ny, part.boundary] for part in self.shake.grids]
        periods = {answer.exchange.name: answer.exchange.period for answer in self.answers}
        return {
            "title": f"Halocline: state of the coupler of {self.shake.model}",
            "format": FORMAT,
            "grids": json.dumps(grids),
            "rn_Dt": self.shake.time.rn_Dt,
            "periods": json.dumps(periods | {net.name: net.period for net in self.networks}),
            "artefacts": json.dumps(networks),
            "seed": cpl.nn_seed,
            "member": cpl.nn_member,
        }

    def _compare(self, path: Path, attributes: Mapping[str, object]) -> None:
        where = self.settings.namcpl.where("cn_rst_in")
        if attributes.get("format") != FORMAT:
            raise HaloclineError(
                f"{path} is no restart of this coupler: format {attributes.get('format')}, needed {FORMAT}.\n  {where}."
            )
        kt, start = int(str(attributes["kt"])), self.shake.time.nn_it000
        periods = {answer.exchange.period for answer in self.answers} | {net.period for net in self.networks}
        if any((kt - 1) // period != (start - 2) // period for period in periods):
            raise HaloclineError(
                f"the restart {path} holds the state after step {kt}, the run begins at step {start}.\n  {where}. Give "
                f"{restart_name(start - 1)}."
            )
        names = {
            "grids": "the grid", "rn_Dt": "the time step", "periods": "the periods", "seed": "nn_seed",
            "member": "nn_member", "artefacts": "the artefacts (sha256)",
        }  # fmt: skip
        for key, ours in self._identity().items():
            theirs = attributes.get(key)
            if key in names and (str(theirs) != str(ours) if isinstance(ours, str) else theirs != ours):
                raise HaloclineError(
                    f"the restart {path} was written with another run: {names[key]} {theirs}, now {ours}.\n  {where}. "
                    "Continue with what it was written with, or begin anew without cn_rst_in."
                )


def _field(name: str, net: Network, values: np.ndarray) -> Field:
    return Field(id=0, name=name, units="1", point="T", levels=values.shape[0], grid=net.grid, direction="out")

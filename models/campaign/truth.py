"""What the runs are scored against: the climates of the truth under one wind, its joint mean, and the noise floor."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from coupler.errors import HaloclineError
from models.evaluation.climate import Climate
from models.evaluation.scores import COLUMNS, expected_floor, floor, scores
from models.evaluation.states import Piece, open_states


@dataclass(frozen=True)
class Truth:
    """Independent records of the same wind. A single record is cut into two halves, which are nearly independent."""

    wind: str
    records: Sequence[Climate]

    @property
    def joint(self) -> Climate:
        """The climate of all records together."""
        return Climate.joint(self.records, "truth")

    @property
    def values(self) -> dict[str, float]:
        """Scores of the joint truth: its energies and variances, and zeros."""
        return scores(self.joint, self.joint)

    @property
    def floors(self) -> list[dict[str, float]]:
        """Scores of each record against the other."""
        return floor(self.records)

    def expected(self, years: float) -> dict[str, float]:
        """What sampling alone leaves between a run of so many years and the joint truth: the distances of the columns.

        Root mean square of both floors, scaled from the lengths of the records: one difference of two records, so an estimate
        with one degree of freedom. For energies and deviations, whose best value is the truth's, the relative difference; for
        the others the score itself (1 - r for the pattern correlation).
        """
        truth, lengths = self.values, [record.years for record in self.records]
        return {
            column.key: expected_floor(
                float(np.sqrt(np.mean([distance(column.key, row[column.key], truth) ** 2 for row in self.floors]))),
                years,
                lengths,
            )
            for column in COLUMNS
            if column.best != ""
        }


def distance(key: str, value: float, truth: dict[str, float]) -> float:
    """How far a score is from its best value: relative where that is the truth's own, |log| for the tail, else the difference."""
    best = next(column.best for column in COLUMNS if column.key == key)
    if key == "tail":
        return abs(float(np.log(value)))
    if best == "truth":
        if not truth[key]:
            return float("inf") if value else 0.0
        return abs(value / truth[key] - 1)
    return abs(value - float(best))


def read(wind: str, paths: Sequence[Path]) -> Truth:
    """The truth of a wind from data sets of `halocline coarsen` (or saved climates); a single data set is cut in the middle.

    HaloclineError when there is none, or only one climate, from which no floor can be taken.
    """
    if not paths:
        raise HaloclineError(
            f"there is no truth for the wind '{wind}'. Name the data sets of halocline coarsen with --truth."
        )
    if len(paths) > 1:
        return Truth(wind, [_named(path) for path in paths])
    if paths[0].suffix == ".npz":
        raise HaloclineError(
            f"{paths[0]} is the only truth for the wind '{wind}': there is no noise floor. Name a second one."
        )
    return Truth(wind, _halves(paths[0]))


def load(wind: str, folder: Path) -> Truth:
    """The statistics that `save` wrote. HaloclineError when they are not there."""
    found = sorted(folder.glob(f"truth_{wind}_*.npz"))
    if len(found) < 2:
        raise HaloclineError(
            f"{folder} has no statistics of the truth under the wind '{wind}' (truth_{wind}_1.npz, ...).\n"
            "  Make them: halocline truth, halocline coarsen, then halocline science scan with --truth."
        )
    return Truth(wind, [Climate.load(path) for path in found])


def save(truth: Truth, folder: Path) -> list[Path]:
    """The statistics of each record as small files, which a check-out carries."""
    return [record.save(folder / f"truth_{truth.wind}_{n}.npz") for n, record in enumerate(truth.records, start=1)]


def _named(path: Path) -> Climate:
    if path.suffix == ".npz":
        return Climate.load(path)
    states = open_states(path)
    return Climate.from_states(states.pieces(), states.mesh, states.name, 0.0, states.year)


def _halves(path: Path) -> list[Climate]:
    states = open_states(path)
    seconds = np.concatenate([piece.seconds for piece in states.pieces()])
    middle = 0.5 * (seconds[0] + seconds[-1])
    return [
        Climate.from_states(
            _between(states.pieces(), *ends), states.mesh, f"{states.name}, {name} half", 0.0, states.year
        )
        for name, ends in {"first": (-np.inf, middle), "second": (middle, np.inf)}.items()
    ]


def _between(pieces: Iterator[Piece], first: float, last: float) -> Iterator[Piece]:
    """The states after `first`, up to and with `last`."""
    for piece in pieces:
        rows = (piece.seconds > first) & (piece.seconds <= last)
        if rows.any():
            yield replace(piece, **{name: values[rows] for name, values in vars(piece).items() if values is not None})

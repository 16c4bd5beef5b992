"""What `halocline science bias` runs: twins, methods of assimilation, corrections, and their rows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from models.campaign.matrix import Row
from models.campaign.runs import NAMELISTS, SPINUP

METHODS = {
    "insert": "(a) direct insertion of the coarsened truth",
    "cycle": "(b) cycled analyses with a gain",
    "enoi": "(c) sparse, noisy observations, ensemble optimal interpolation",
}
SPINNING = "spin-up"
FREE, CLOSURE = "free", "closure"
CLOSURE_FILE = NAMELISTS.parent / "models" / "zoo" / "gyre_momentum" / "gyre_momentum.onnx"


@dataclass(frozen=True)
class Twin:
    """A model with a known error, and its truth.

    model: edits of every namelist of the model. train: coarsened truth that increments are made from; unseen: records that no
    network has seen, () for those whose statistics are kept with the closures; again: one of them, for residual increments.
    harmonics: of the year, in the climatology. inflate: factor on the ensemble of (c), from its statistics of innovations.
    """

    name: str
    title: str
    model: Mapping[str, str] = field(default_factory=dict)
    train: Path = Path("runs/gyre_coarsen/train.zarr")
    unseen: Sequence[Path] = ()
    again: Path = Path("runs/gyre_coarsen/a.zarr")
    harmonics: int = 0
    inflate: float = 1.0


TWINS = {
    twin.name: twin
    for twin in (
        Twin("asis", "the 40 km model as it is"),
        Twin(
            "wind", "the 40 km model with a wind of 0.07 in place of 0.1 N m-2", {"namsbc.rn_tau0": "0.07"}, inflate=1.5
        ),
        Twin(
            "season",
            "model and truth with an annual cycle of wind and restoring (rn_season = 0.3)",
            {"namsbc.rn_season": "0.3"},
            Path("runs/gyre_coarsen_season/train.zarr"),
            (Path("runs/gyre_coarsen_season/a.zarr"),),
            Path("runs/gyre_coarsen_season/a.zarr"),
            harmonics=2,
        ),
    )
}


@dataclass(frozen=True)
class Correction:
    """One trained correction: of which twin, from which increments, made how, with which seed.

    kind: 'climatology', 'network', or 'recycled' (a network from the increments that were left with the network of the same
    seed in the model). closure: with the closure network in the model, where the increments were made and where it runs.
    """

    twin: str
    method: str
    closure: bool
    kind: str
    seed: int = 0

    @property
    def design(self) -> str:
        """What its seeds have in common: 'insert network, on closure'."""
        return f"{self.method} {self.kind}" + (" on closure" if self.closure else "")

    @property
    def name(self) -> str:
        """Of its row: the design, and the seed of a network."""
        return f"{self.design} s{self.seed}" if self.seed else self.design

    @property
    def label(self) -> str:
        """Name of the network, and of its folder."""
        name = "_".join([self.method, self.kind, *(["closure"] if self.closure else [])])
        return f"{name}_s{self.seed}" if self.seed else name


def corrections(
    twin: Twin, methods: Sequence[str], closures: Sequence[bool], seeds: int, kinds: Sequence[str]
) -> Iterator[Correction]:
    """All corrections of the kinds, in the order of the table."""
    for method in methods:
        for closure in closures:
            for kind in kinds:
                for seed in [0] if kind == "climatology" else range(1, seeds + 1):
                    yield Correction(twin.name, method, closure, kind, seed)


def spinup(twin: Twin) -> Row:
    """Ten years of the free model from rest; every run of the twin begins at its end."""
    edits = {**twin.model, "namrun.nn_write": "0"}
    return Row(SPINNING, SPINNING, twin.name, edits=edits, start=0, years=SPINUP - 1)


def free(twin: Twin, years: int, restart: Path) -> Row:
    """The model alone."""
    return Row(FREE, FREE, twin.name, edits=twin.model, restart=restart, years=years)


def with_closure(twin: Twin, years: int, restart: Path, closure: Path) -> Row:
    """The model with its closure network."""
    return Row(CLOSURE, CLOSURE, twin.name, edits=twin.model, artefact=closure, restart=restart, years=years)


def corrected(twin: Twin, correction: Correction, artefact: Path, years: int, restart: Path, closure: Path) -> Row:
    """The model with a correction, and with the closure network where the correction was made with it."""
    beside = closure if correction.closure else None
    return Row(
        correction.name, correction.kind, twin.name, edits=twin.model, artefact=beside, bias=artefact, restart=restart, years=years
    )  # fmt: skip

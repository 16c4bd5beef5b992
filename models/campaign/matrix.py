"""The rows of the comparison: what is run, on which grid, under which wind, with which friction or network."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

YEAR = 360 * 86400.0  # [s]; the calendar of the experiments
EVERY = 5 * 86400.0  # time between states that are written [s]
WINDS = {"trained": 0.0, "unseen": 0.4}  # asymmetric part of the wind, rn_tauas

# Strengths of the scan. The grid-scale friction of the coarse model is cs4 dx^4 |D| + cl4 dx^5 |grad zeta|.
SMAGORINSKY = (0.06, 0.03, 0.02, 0.01, 0.005, 0.004, 0.002, 0.001, 0.0005, 0.0003, 0.0001)
LEITH = (0.1, 0.03, 0.02, 0.01, 0.005, 0.004, 0.002, 0.001, 0.0005, 0.0003)
ZB20 = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0)  # gamma; rn_zb_kappa = gamma dx^2
ZB20_FRICTION = (0.06, 0.02, 0.005, 0.003)  # cs4 beside it


@dataclass(frozen=True)
class Grid:
    """A square basin of 1920 km: cells along a side and time step [s]."""

    cells: int
    rn_Dt: float

    @property
    def dx(self) -> float:
        """Width of a cell [m]."""
        return 1920e3 / self.cells

    @property
    def name(self) -> str:
        """'40 km', to the nearest km."""
        return f"{self.dx / 1000:.0f} km"

    def steps(self, seconds: float) -> int:
        """Steps in a time, which must be whole."""
        return round(seconds / self.rn_Dt)


COARSE = Grid(48, 3200.0)
MIDDLE = Grid(96, 1600.0)
OTHERS = (Grid(36, 3600.0), Grid(60, 2400.0))  # for a network that was trained on COARSE


@dataclass(frozen=True)
class Row:
    """One run of the comparison.

    edits: 'group.switch' of the namelist and its value as Fortran text. artefact: file of a network, None for the ocean alone;
    every: time steps between its calls. bias: file of a bias correction, called daily. start: seed of the noise from which the
    spun-up state grew, 0: from rest; restart: a start state in its place. member: of the noise of a stochastic network. years:
    length after the first, which the scores drop; days: length of a run that is timed or a forecast.
    """

    name: str
    family: str
    wind: str = "trained"
    grid: Grid = COARSE
    edits: Mapping[str, str] = field(default_factory=dict)
    artefact: Path | None = None
    every: int = 3
    bias: Path | None = None
    start: int = 1
    restart: Path | None = None
    member: int = 0
    years: int = 20
    days: int = 0

    @property
    def seconds(self) -> float:
        """Length of the run [s]."""
        return self.days * 86400.0 if self.days else (self.years + 1) * YEAR

    @property
    def networks(self) -> list[Path]:
        """The files of all its networks."""
        return [file for file in (self.artefact, self.bias) if file is not None]

    @property
    def folder(self) -> str:
        """Folder of the run below that of the campaign."""
        return f"{self.wind}/" + "".join("_" if letter in " =/" else letter for letter in self.name if letter != ",")


def under(winds: Sequence[str], rows: Sequence[Row]) -> list[Row]:
    """The rows once for each wind."""
    return [replace(row, wind=wind) for wind in winds for row in rows]


def conventional(years: int = 20) -> list[Row]:
    """The finer model, and the coarse one with every closure of the scan."""
    return [
        Row("20 km cs4=0.02", "20 km", grid=MIDDLE, edits={"namdyn_ldf.rn_cs4": "0.02"}, years=years),
        *(Row(name, family, edits=edits, years=years) for name, family, edits in _scan()),
    ]


def _scan() -> Iterator[tuple[str, str, dict[str, str]]]:
    for cs4 in SMAGORINSKY:
        yield f"Smagorinsky cs4={cs4:g}", "Smagorinsky", {"namdyn_ldf.rn_cs4": f"{cs4:g}"}
    for cl4 in LEITH:
        yield f"Leith cl4={cl4:g}", "Leith", {"namdyn_ldf.rn_cs4": "0.", "namdyn_ldf.rn_cl4": f"{cl4:g}"}
    for cs4 in ZB20_FRICTION:
        for gamma in ZB20:
            yield (
                f"ZB20 gamma={gamma:g}, cs4={cs4:g}",
                "ZB20",
                {
                    "namdyn_ldf.rn_cs4": f"{cs4:g}",
                    "namzb20.ln_zb20": ".true.",
                    "namzb20.rn_zb_kappa": f"{gamma * COARSE.dx**2:.6e}",
                },
            )


def networks(
    artefacts: Sequence[Path], every: Sequence[int], years: int = 20, edits: Mapping[str, str] | None = None
) -> list[Row]:
    """Each network, called every so many steps; the first of these also from another initial state. edits: of the namelist."""
    rows: list[Row] = []
    for file in artefacts:
        rows += [Row(f"{file.stem} every {n}", "network", artefact=file, every=n, years=years) for n in every]
        again = f"{file.stem} every {every[0]}, start 2"
        rows.append(Row(again, "network", artefact=file, every=every[0], start=2, years=years))
    return [replace(row, edits=edits or {}) for row in rows]


def century(artefact: Path, every: int) -> Row:
    """A hundred years."""
    return Row(f"{artefact.stem} every {every}, 100 years", "network", artefact=artefact, every=every, years=100)


def other_grids(artefacts: Sequence[Path], every: int, years: int = 20) -> list[Row]:
    """The ocean without closure on grids of other resolutions, and with each network."""
    rows = []
    for grid in OTHERS:
        rows.append(Row(f"{grid.name} without closure", "other grid", grid=grid, years=years))
        for file in artefacts:
            rows.append(
                Row(f"{grid.name} {file.stem}", "other grid", grid=grid, artefact=file, every=every, years=years)
            )
    return rows

"""Everything that a report knows of one run, each part read once; what is not there is noted with its reason."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from coupler.settings import Settings
from models.report import clock, head, namelists, output, quantities, series, surface, tendencies
from models.report import networks as nets
from models.report.absence import Absence
from models.report.clock import Clock
from models.report.folder import Ending, Folder
from models.report.maps import Frame
from models.report.output import Output


@dataclass
class Run:
    """A run folder, read. Parts that are None or empty are absent, and `absence` says why."""

    folder: Folder
    ending: Ending
    absence: Absence
    tables: list[namelists.Table] = field(default_factory=list)
    switches: Settings | None = None
    networks: list[nets.Network] = field(default_factory=list)
    stat: dict[str, series.Series] = field(default_factory=dict)
    budgets: dict[str, series.Series] = field(default_factory=dict)
    guards: series.Guards | None = None
    clock: Clock | None = None
    output: Output | None = None
    groups: list[quantities.Group] = field(default_factory=list)
    frame: Frame | None = None
    label: str = ""
    span: head.Span = field(default_factory=lambda: head.Span(1, None, 0.0, 360 * 86400.0))

    @property
    def name(self) -> str:
        """What the run is called: its folder's name, with the folder above where two runs have the same."""
        return self.label or self.folder.name

    @property
    def coupled(self) -> bool:
        """A coupler took part."""
        return self.folder.coupled

    @property
    def energy(self) -> series.Series | None:
        """Kinetic energy of the whole column; where run.stat is absent, of layer 1 from the states."""
        if "KE" in self.stat:
            return self.stat["KE"]
        if self.output is not None:
            return series.Series(np.arange(len(self.output.ke)), self.output.ke[:, 0], "m2 s-2")
        return None

    def seconds(self, one: series.Series) -> np.ndarray:
        """Time of each value since the start of the run [s]; step numbers where the time step is not known."""
        return (one.steps - self.span.first + 1) * (self.span.step or 1.0)


def read(path: Path, skip: float = 0.0) -> Run:
    """Read a run folder; averages leave out its first `skip` days. HaloclineError when there is no run in it."""
    folder = Folder(path)
    run = Run(folder, folder.ending(), Absence())
    note = run.absence
    with note.of("Configuration"):
        run.tables = namelists.effective(folder)
    if run.coupled:
        with note.of("Exchanges and networks"):
            run.switches = nets.switches_of(folder)
            run.networks = nets.networks(folder, run.switches)
        with note.of("Guards"):
            run.guards = series.guards(folder)
        with note.of("Energy and enstrophy input of the networks"):
            run.budgets = series.budgets(folder)
    else:
        note.add("Networks, guards, exchanges", "no coupler took part in this run.")
    with note.of("Energy over time"):
        run.stat = series.run_stat(folder)
    run.span = head.span(folder, run.tables, run.stat)
    with note.of("Where the time went"):
        run.clock = clock.clock(folder)
    _maps(run, skip)
    return run


def _maps(run: Run, skip: float) -> None:
    """States of the reference ocean; else the surface of whatever ocean wrote it; then what the coupler recorded."""
    note, folder = run.absence, run.folder
    with note.of("States: maps, spectra, enstrophy, tracer content"):
        run.output = output.read(folder, skip, run.span.step, run.span.first)
        run.groups += quantities.of_output(run.output)
        run.frame = Frame(run.output.extent)
        if run.output.remark:
            note.add("Skipped days", run.output.remark)
    if not run.groups:
        with note.of("Maps of the surface"):
            run.groups += quantities.of_surface(surface.surfaces(folder))
    if not run.coupled:
        return
    box, mask = _wet(folder)
    name = run.switches.namdiag.cn_diag_file if run.switches is not None else tendencies.FILE
    fields: Sequence[tendencies.Recorded] = ()
    counts: dict[str, np.ndarray] = {}
    with note.of("Maps of the networks' answers"):
        fields, counts = tendencies.recorded(folder, name)
        run.groups += quantities.of_tendencies(fields, box)
    with note.of("Map of the guards"):
        if not counts and run.guards is not None and run.guards.places:
            shape = fields[0].mean.shape if fields else None if mask is None else mask.shape
            if shape is None:
                note.add("Map of the guards", "the size of the grid is not known without mesh_mask.nc and diagnostics.")
            else:
                counts = tendencies.guard_maps(run.guards, shape)
        inside = None if mask is None else mask[box] if box is not None else mask
        run.groups += quantities.of_guards(counts, box, inside)


def _wet(folder: Folder) -> tuple[tuple[slice, slice] | None, np.ndarray | None]:
    """What cuts the rim of land off the global grid, and the mask of the whole of it."""
    mask = tendencies.wet(folder.path / "mesh_mask.nc")
    if mask is None or not mask.any():
        return None, mask
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)), mask

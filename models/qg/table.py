"""`halocline qg table`: trainings of all kinds and seeds in both regimes, their scores, and one table of all of them."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from coupler.settings import config_file
from models.console import console as open_console
from models.data import store
from models.qg import truth as truths
from models.qg.records import Records
from models.qg.score import Truth, score, truth_of
from models.qg.train import Plan, core_seconds, fit, plan, trained
from models.qg.trajectory import Diverged
from models.training.history import replace as write

KINDS = ("offline", "approx", "full")
SCORE = "score.json"
COLUMNS = (
    "run",
    "residual R2, layers",
    "rollout loss",
    "at its end",
    "at ten times that",
    "lasted",
    "KE / truth, layers",
    "log spectrum",
    "W1 of q [std]",
    "core-seconds",
)


def planned(cfg: Path, out: Path, kind: str, seed: int) -> Plan:
    """The training of one row; an online one begins from the offline one of its seed."""
    if kind == "offline":
        return plan(cfg, out, "offline", seed=seed)
    todo = plan(cfg, out, "online", kind, seed)
    start = {"cn_start": str(out / "offline_s{seed}")}
    return Plan(todo.group, todo.train, todo.online.model_copy(update=start), todo.out)


def table(configurations: Sequence[Path], out: Path, seeds: Sequence[int], console: Console | None = None) -> Path:
    """Truth, trainings and scores of each CFG in OUT/NAME, and OUT/table.md, table.json; what is there already is not made again.

    Every run is in the table, also one that diverged or blew up. Returns the path of table.md. HaloclineError for mistakes in the
    namelists.
    """
    console = console or open_console()
    found: dict[str, Any] = {}
    for cfg in configurations:
        name = config_file(cfg).resolve().parent.name
        place = out / name
        plan(cfg, place)
        truths.make(cfg, place, console)
        group = truths.settings(cfg)
        truth = truth_of(Records(truths.read(group, place), group), group)
        rows: dict[str, Any] = {}
        found[name] = {"truth": truth.climate.numbers(), "floor": truth.floor, "rows": rows}
        for kind, seed in (("none", 0), *((kind, seed) for kind in KINDS for seed in seeds)):
            label = kind if kind == "none" else f"{kind}_s{seed}"
            rows[label] = _row(cfg, place, kind, seed, truth, console)
            _write(found, configurations, out, seeds)
            console.print(" | ".join((name, *_cells(label, rows[label]))), highlight=False, markup=False)
    return out / "table.md"


def text(name: str, floor: dict[str, list[float]], rows: dict[str, Any]) -> str:
    """The rows of one regime as Markdown, under the noise floor."""
    apart = (_pair(floor[key], ".3f") for key in ("energy_ratio", "log_spectrum", "wasserstein"))
    lines = [f"## {name}", "", f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    lines.append(f"| {' | '.join(('truth, half against half', '', '', '', '', '', *apart, ''))} |")
    return "\n".join([*lines, *(f"| {' | '.join(_cells(label, row))} |" for label, row in rows.items()), ""])


def _row(cfg: Path, place: Path, kind: str, seed: int, truth: Truth, console: Console) -> dict[str, Any]:
    """The scores of one row: trained, scored and kept in score.json, or read from there."""
    todo = None if kind == "none" else planned(cfg, place, kind, seed)
    folder = place / kind if todo is None else todo.folder
    path = folder / SCORE
    if path.is_file():
        return dict(json.loads(path.read_text(encoding="utf-8")))
    folder.mkdir(parents=True, exist_ok=True)
    if todo is None:
        scores = score(truth, None)
    else:
        try:
            fit(todo, cfg, console=console)
            scores = score(truth, trained(todo, truth.records)) | {"core_seconds": core_seconds(folder)}
        except Diverged as error:
            scores = {"diverged": str(error).partition("\n")[0], "core_seconds": core_seconds(folder)}
    write(path, json.dumps(scores, indent=1).encode())
    return scores


def _cells(label: str, row: dict[str, Any]) -> list[str]:
    """The cells of one row of the table."""
    if "diverged" in row:
        return [label, row["diverged"], *[""] * (len(COLUMNS) - 3), f"{row['core_seconds']:.0f}"]
    lasted = f"{sum(n == row['free_steps'] for n in row['lasted'])} of {len(row['lasted'])}"
    return [
        label,
        _pair(row["residual_r2"], ".3f"),
        *(f"{row[key]:.4g}" for key in ("rollout_loss", "rollout_end", "rollout_long")),
        lasted,
        *(_pair(row.get(key, [math.nan, math.nan]), ".3f") for key in ("energy_ratio", "log_spectrum", "wasserstein")),
        f"{row.get('core_seconds', 0.0):.0f}",
    ]


def _pair(values: Sequence[float], form: str) -> str:
    return ", ".join(format(value, form) for value in values)


def _write(found: dict[str, Any], configurations: Sequence[Path], out: Path, seeds: Sequence[int]) -> None:
    """table.json and table.md."""
    command = f"halocline qg table {' '.join(map(str, configurations))} --seeds {','.join(map(str, seeds))}"
    facts = store.provenance({config_file(cfg).resolve().parent.name: config_file(cfg) for cfg in configurations})
    lines = [f"`{command}`", ""]
    lines += [text(name, one["floor"], one["rows"]) for name, one in found.items()]
    document = {"command": command, "provenance": facts, "regimes": found}
    write(out / "table.json", json.dumps(document, indent=1).encode())
    write(out / "table.md", "\n".join(lines).encode())

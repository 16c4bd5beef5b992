"""The table of the comparison: as Markdown, JSON and CSV."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.table import Table

from models.campaign import judge
from models.campaign.truth import Truth
from models.evaluation.scores import COLUMNS, Column

WIND_WORDS = {
    "trained": "the wind of the training data",
    "unseen": "a wind no network has seen (rn_tauas = 0.4)",
}


ONE_CORE = ", one core"  # of the key of a cost: all processes bound to one core


def key_of_cost(row: Mapping[str, Any]) -> str:
    """The measurement that gives the cost of a row: strengths, seeds, winds and initial states cost the same."""
    if row["family"] in ("network", "other grid"):
        return judge.design(str(row["row"]).split(",")[0])
    return str(row["family"])


def collected(
    truth: Truth, rows: Sequence[Mapping[str, Any]], costs: Mapping[str, Mapping[str, Any]], years: int
) -> dict[str, Any]:
    """Everything about one wind, as it goes to JSON: truth, floor, rows with cost, the best by the rule, networks over seeds."""
    table = []
    for row in rows:
        measured = {name: costs.get(key_of_cost(row) + name, {}).get("core_s_per_year") for name in ("", ONE_CORE)}
        table.append({**row, "core_s_per_year": measured[""], "core_s_per_year_on_one_core": measured[ONE_CORE]})
    finer = [row for row in table if row["family"] == "20 km" and row["scores"] is not None]
    groups: dict[str, dict[str, Any]] = {}
    for name, group in judge.seeds(table).items():
        nearer = judge.better({"scores": group["mean"]}, finer[0], truth) if finer and group["mean"] else {}
        groups[name] = {**group, "must": judge.required(group, truth), "better_than_20_km": nearer}
    return {
        "wind": truth.wind,
        "truth": truth.values,
        "truth_years": [record.years for record in truth.records],
        "floor": truth.floors,
        "expected_floor": {"years": years, **truth.expected(years)},
        "rows": table,
        "admitted": [row["row"] for row in judge.admitted(table)],
        "best": judge.best(table, truth),
        "seeds": groups,
    }


def markdown(found: Mapping[str, Any]) -> str:
    """The table of one wind (what `collected` made), with the noise floor above the rows."""
    lengths = " + ".join(f"{years:.0f}" for years in found["truth_years"])
    heads = [
        f"{column.header} [{column.units}]" if column.units not in ("", "1") else column.header for column in COLUMNS
    ]
    lines = [
        f"### Under {WIND_WORDS[found['wind']]}",
        "",
        f"Truth: {lengths} years of the 10 km ocean, coarse-grained; rows are scored against their joint mean.",
        "",
        line(["run", *heads, "core-s / year"]),
        line(["---"] * (len(heads) + 2)),
        _scores("**truth**", found["truth"]),
        *(_scores(f"*noise floor, truth {n} against the other*", row) for n, row in enumerate(found["floor"], start=1)),
        _expected(found["expected_floor"]),
        *(_run(row, found) for row in found["rows"]),
    ]
    for name, group in found["seeds"].items():
        if _several(group):
            lines.append(_scores(f"**mean of {len(group['rows'])} seeds: {name}**", group["mean"]))
    lines += ["", *_best(found), *_verdicts(found)]
    return "\n".join(lines) + "\n"


def short(found: Mapping[str, Any]) -> Table:
    """The columns that fit a terminal."""
    keys = ("eke1", "eke2", "eta_rmse", "sd_eta", "logspec", "tail")
    columns = [next(column for column in COLUMNS if column.key == key) for key in keys]
    page = Table(title=f"under {WIND_WORDS[found['wind']]}", box=SIMPLE)
    page.add_column("run", overflow="fold")
    for column in columns:
        page.add_column(column.header, justify="right", no_wrap=True)
    page.add_column("core-s / year", justify="right", overflow="fold", min_width=6)

    def add(name: str, scores: Mapping[str, float], last: str = "", style: str | None = None) -> None:
        page.add_row(name, *(_cell(scores.get(column.key), column) for column in columns), last, style=style)

    add("truth", found["truth"], style="dim")
    for n, row in enumerate(found["floor"], start=1):
        add(f"noise floor {n}", row, style="dim")
    for row in found["rows"]:
        if row["scores"] is None:
            add(f"{row['row']}: blew up, day {row['day']}", {})
        else:
            add(
                str(row["row"]),
                row["scores"],
                _cost(row),
                "bold" if row["row"] == found["best"].get("overall") else None,
            )
    for name, group in found["seeds"].items():
        if _several(group):
            add(f"mean of {len(group['rows'])}: {name}", group["mean"], style="bold")
    return page


def cost_markdown(costs: Mapping[str, Mapping[str, Any]]) -> str:
    """The table of costs."""
    lines = [
        "### Cost",
        "",
        "Core-seconds per simulated year: wall-clock time times the cores that the run holds, output of 5-day states, coupler and "
        "waiting included, the start (beside) not. Measured one job at a time.",
        "",
        line(["run", "cores", "core-s / year", "wall s / year", "CPU s / year", "start s", "load of the machine"]),
        line(["---"] * 7),
    ]
    for name, cost in costs.items():
        keys = ("cores", "core_s_per_year", "wall_s_per_year", "cpu_s_per_year", "start_s", "load")
        lines.append(line([name, *(f"{cost[key]:g}" for key in keys)]))
    return "\n".join(lines) + "\n"


def comma_separated(tables: Sequence[Mapping[str, Any]]) -> str:
    """All rows of all winds as CSV, without rounding."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    keys = [column.key for column in COLUMNS]
    writer.writerow(["wind", "run", "family", "status", "day", *keys, "core_s_per_year"])
    for found in tables:
        for row in found["rows"]:
            scores = row["scores"] or {}
            head = [found["wind"], row["row"], row["family"], row["status"], row.get("day", "")]
            writer.writerow([*head, *(scores.get(key, "") for key in keys), row["core_s_per_year"] or ""])
    return text.getvalue()


def write(
    folder: Path, name: str, tables: Sequence[Mapping[str, Any]], costs: Mapping[str, Any], facts: Mapping[str, Any]
) -> None:
    """NAME.json, NAME.csv and NAME.md in a folder, each written aside and renamed."""
    document = {**facts, "rule": judge.RULE, "winds": {found["wind"]: found for found in tables}, "cost": costs}
    page = "\n".join([*(markdown(found) for found in tables), cost_markdown(costs) if costs else ""])
    texts = {
        "json": json.dumps(document, indent=1) + "\n",
        "csv": comma_separated(tables),
        "md": f"{facts['title']}\n\n`{facts['command']}`\n\n{page}",
    }
    keep(folder, name, texts)


def keep(folder: Path, name: str, texts: Mapping[str, str]) -> None:
    """NAME.SUFFIX for each suffix and its text, written aside and renamed."""
    folder.mkdir(parents=True, exist_ok=True)
    for suffix, text in texts.items():
        part = folder / f"{name}.{suffix}.part"
        part.write_text(text, encoding="utf-8")
        part.replace(folder / f"{name}.{suffix}")


def line(cells: Sequence[str]) -> str:
    """A line of a table in Markdown."""
    return "| " + " | ".join(cells) + " |"


def _scores(name: str, scores: Mapping[str, float], cost: str = "") -> str:
    return line([name, *(_cell(scores.get(column.key), column) for column in COLUMNS), cost])


def _cell(value: float | None, column: Column) -> str:
    return "" if value is None else f"{value:.{column.digits}f}"


def _expected(far: Mapping[str, float]) -> str:
    """What sampling alone leaves: relative where the best value is the truth's own."""
    cells = []
    for column in COLUMNS:
        value = far.get(column.key, float("nan"))
        relative = column.best == "truth" or column.key == "tail"
        cells.append(f"± {value:.1%}" if relative else f"± {value:.{column.digits}f}")
    return line([f"*sampling alone, {far['years']:.0f} years against the joint truth*", "", *cells[1:], ""])


def _run(row: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    if row["scores"] is None:
        return line([str(row["row"]), f"blew up on day {row['day']}", *[""] * len(COLUMNS)])
    name = f"**{row['row']}**" if row["row"] == found["best"].get("overall") else str(row["row"])
    return _scores(name, row["scores"], _cost(row))


def _cost(row: Mapping[str, Any]) -> str:
    """'8.44, on one core 2.07'."""
    if row["core_s_per_year"] is None:
        return ""
    bound = row["core_s_per_year_on_one_core"]
    return f"{row['core_s_per_year']:.2f}" + (f", on one core {bound:.2f}" if bound else "")


def _several(group: Mapping[str, Any]) -> bool:
    return bool(group["mean"]) and len(group["rows"]) > 1


def _best(found: Mapping[str, Any]) -> list[str]:
    if not found["best"]:
        return []
    lines = [f"Best conventional rows ({judge.RULE})", ""]
    for key, name in found["best"].items():
        row = next(row for row in found["rows"] if row["row"] == name)
        value = f" ({row['scores'][key]:.3g})" if key in row["scores"] else ""
        lines.append(f"- {key}: {name}{value}")
    return [*lines, ""]


def _verdicts(found: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, group in found["seeds"].items():
        lines.append(f"{name}: {group['stable']} of {len(group['rows'])} seeds stable; required of their mean:")
        lines.append("")
        for key, (value, limit, holds) in group["must"].items():
            lines.append(f"- {key}: {value:.3g}, limit {limit:g}: {'holds' if holds else '**fails**'}")
        spread = ", ".join(f"{key} {value:.1%}" for key, value in group["spread"].items())
        lines.append(f"- spread of the seeds: {spread}")
        if group["better_than_20_km"]:
            worse = [key for key, holds in group["better_than_20_km"].items() if not holds]
            lines.append(f"- nearer to truth than the 20 km model in all scores but: {', '.join(worse) or 'none'}")
        lines.append("")
    return lines

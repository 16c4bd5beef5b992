"""The table of bias corrections: as JSON, CSV and Markdown."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.table import Table

from models.campaign import bias_judge
from models.campaign.bias_judge import CUT, MEANS, MOMENTS, Verdict
from models.campaign.bias_rows import CLOSURE, FREE, Twin
from models.campaign.table import keep, line
from models.campaign.truth import Truth
from models.evaluation.scores import COLUMNS, KEYS

SHOWN = ("years", *MEANS, *MOMENTS, "tail")


def collected(
    twin: Twin, truth: Truth, rows: Sequence[Mapping[str, Any]], residuals: Mapping[str, Any], years: int
) -> dict[str, Any]:
    """Everything about one twin, as it goes to JSON: truth, floor, all rows, means over seeds, residual increments, verdicts."""
    designs: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        designs.setdefault(row.get("design", row["row"]), []).append(row)
    means = {name: bias_judge.mean_of(group) for name, group in designs.items()}
    free = means.get(FREE)
    return {
        "twin": twin.name,
        "title": twin.title,
        "truth": truth.values,
        "truth_years": [record.years for record in truth.records],
        "floor": truth.floors,
        "expected_floor": {"years": years, **truth.expected(years)},
        "rows": [_with_harm(row, free, truth) for row in rows],
        "means": means,
        "ratios": {name: _ratios(free, mean) for name, mean in means.items() if free and mean},
        "residuals": dict(residuals),
        "verdicts": {
            name: [asdict(verdict) for verdict in verdicts]
            for name, verdicts in _verdicts(designs, means, residuals, truth, years).items()
        },
    }


def _with_harm(row: Mapping[str, Any], free: Mapping[str, float] | None, truth: Truth) -> dict[str, Any]:
    if free is None or row["family"] == FREE:
        return dict(row)
    return {**row, "worse_than_free": bias_judge.harmful(row, free, truth)}


def _ratios(free: Mapping[str, float], mean: Mapping[str, float]) -> dict[str, float]:
    """Error of the free model over that of a row."""
    return {key: free[key] / mean[key] for key in MEANS}


def _verdicts(
    designs: Mapping[str, Sequence[Mapping[str, Any]]],
    means: Mapping[str, dict[str, float] | None],
    residuals: Mapping[str, Any],
    truth: Truth,
    years: int,
) -> dict[str, list[Verdict]]:
    """What each design of networks must and should reach."""
    found: dict[str, list[Verdict]] = {}
    for name, group in designs.items():
        kind, method = group[0].get("kind"), group[0].get("method")
        if kind not in ("network", "recycled"):
            continue
        on_closure = " on closure" if group[0]["closure"] else ""
        climatology = means.get(f"{method} climatology{on_closure}") or means.get(f"{method} climatology")
        lines = bias_judge.required(group, means.get(FREE), climatology, truth)
        left = [residuals[row["row"]]["unseen"]["total"] for row in group if row["row"] in residuals]
        if left:
            lines += bias_judge.smaller({"total": sum(left) / len(left)})
        lines += bias_judge.aimed(group, truth, years)
        if method == "enoi":
            lines += bias_judge.sparse(group, designs.get(name.replace("enoi", "insert", 1), []))
        if on_closure:
            alone = designs.get(name.removesuffix(on_closure), [])
            lines += bias_judge.together(group, alone, means.get(CLOSURE), truth)
        found[name] = lines
    return found


def markdown(found: Mapping[str, Any]) -> str:
    """The page of one twin (what `collected` made): scores with the noise floor, ratios, residual increments, verdicts."""
    columns = [next(column for column in COLUMNS if column.key == key) for key in SHOWN]
    lengths = " + ".join(f"{years:.0f}" for years in found["truth_years"])
    heads = [f"{one.header} [{one.units}]" if one.units not in ("", "1") else one.header for one in columns]

    def cells(scores: Mapping[str, float]) -> list[str]:
        return [f"{scores[one.key]:.{one.digits}f}" if one.key in scores else "" for one in columns]

    expected = found["expected_floor"]
    lines = [
        f"### {found['twin']}: {found['title']}",
        "",
        f"Truth: {lengths} years of the 10 km ocean, coarse-grained, which no network has seen; rows are scored against their "
        "joint mean. Every run is here, none is left out.",
        "",
        line(["run", *heads]),
        line(["---"] * (len(heads) + 1)),
        line(["**truth**", *cells(found["truth"])]),
        *(line([f"*noise floor, truth {n}*", *cells(row)]) for n, row in enumerate(found["floor"], start=1)),
        line([f"*sampling alone, {expected['years']:.0f} years*", *_expected(expected, columns)]),
    ]
    for row in found["rows"]:
        if row["scores"] is None:
            lines.append(line([row["row"], f"blew up on day {row['day']}", *[""] * (len(heads) - 1)]))
        else:
            lines.append(line([row["row"], *cells(row["scores"])]))
    several = [name for name, mean in found["means"].items() if mean and _count(found, name) > 1]
    lines += [line([f"**mean of {_count(found, name)}: {name}**", *cells(found["means"][name])]) for name in several]
    below = [*_ratio_lines(found), *_harm_lines(found), *_residual_lines(found), *_verdict_lines(found)]
    return "\n".join([*lines, "", *below]) + "\n"


def _count(found: Mapping[str, Any], design: str) -> int:
    return sum(row.get("design", row["row"]) == design for row in found["rows"])


def _expected(far: Mapping[str, float], columns: Sequence[Any]) -> list[str]:
    words = []
    for one in columns:
        value = far.get(one.key)
        relative = one.best == "truth" or one.key == "tail"
        shown = "" if value is None else f"± {value:.1%}" if relative else f"± {value:.{one.digits}f}"
        words.append("" if one.key == "years" else shown)
    return words


def _ratio_lines(found: Mapping[str, Any]) -> list[str]:
    if not found["ratios"]:
        return []
    rows = [line([name, *(f"{ratios[key]:.2f}" for key in MEANS)]) for name, ratios in found["ratios"].items()]
    asked = line(["*asked for*", *(f"{CUT[key]:g}" if key in CUT else "" for key in MEANS)])
    return [
        "Error of the free model over that of the row (mean over seeds):",
        "",
        line(["row", *(key.removesuffix("_rmse") for key in MEANS)]),
        line(["---"] * (len(MEANS) + 1)),
        *rows,
        asked,
        "",
    ]


def _harm_lines(found: Mapping[str, Any]) -> list[str]:
    worse = [
        f"- {row['row']}: {'; '.join(row['worse_than_free'])}" for row in found["rows"] if row.get("worse_than_free")
    ]
    return ["Worse than the free model:", "", *worse, ""] if worse else []


def _residual_lines(found: Mapping[str, Any]) -> list[str]:
    if not found["residuals"]:
        return []
    first = next(iter(found["residuals"].values()))["unseen"]["ratio"]
    lines = [
        "Rms of the increments with the network in the model over that without (re-cycling):",
        "",
        line(["network", "truth", *first, "total"]),
        line(["---"] * (len(first) + 3)),
    ]
    for name, both in found["residuals"].items():
        for which, one in both.items():
            lines.append(line([name, which, *(f"{one['ratio'][key]:.2f}" for key in first), f"{one['total']:.3f}"]))
    return [*lines, ""]


def _verdict_lines(found: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, verdicts in found["verdicts"].items():
        musts = [one for one in verdicts if one["must"]]
        held = sum(one["holds"] for one in musts)
        lines += [f"{name}: {held} of {len(musts)} musts hold", ""]
        for one in verdicts:
            word = "holds" if one["holds"] else "**fails**"
            lines.append(
                f"- {'must' if one['must'] else 'aim'}: {one['what']}: {one['value']:.3g}, limit {one['limit']:.3g}: {word}"
            )
        lines.append("")
    return lines


def summary(found: Mapping[str, Any]) -> list[str]:
    """One line for each design of networks: how many musts and aims hold, and which do not."""
    lines = []
    for name, verdicts in found["verdicts"].items():
        counts = []
        for must, word in ((True, "musts"), (False, "aims")):
            asked = [one for one in verdicts if one["must"] == must]
            failed = ", ".join(dict.fromkeys(one["what"].partition(":")[0] for one in asked if not one["holds"]))
            held = sum(one["holds"] for one in asked)
            counts.append(f"{held} of {len(asked)} {word} hold" + (f" (not {failed})" if failed else ""))
        lines.append(f"{found['twin']}: {name}: " + ", ".join(counts))
    return lines


def short(found: Mapping[str, Any]) -> Table:
    """The columns that fit a terminal."""
    keys = ("eta_rmse", "h1_rmse", "t_rmse", "eke1", "sd_eta", "sd_t")
    columns = [next(column for column in COLUMNS if column.key == key) for key in keys]
    page = Table(title=f"{found['twin']}: {found['title']}", box=SIMPLE)
    page.add_column("run", overflow="fold")
    for column in columns:
        page.add_column(column.header, justify="right", no_wrap=True)

    def add(name: str, scores: Mapping[str, float] | None, style: str | None = None) -> None:
        page.add_row(name, *(f"{scores[one.key]:.{one.digits}f}" if scores else "" for one in columns), style=style)

    add("truth", found["truth"], "dim")
    add("noise floor", found["floor"][0], "dim")
    for row in found["rows"]:
        add(row["row"] if row["scores"] else f"{row['row']}: blew up, day {row['day']}", row["scores"])
    return page


def comma_separated(tables: Sequence[Mapping[str, Any]]) -> str:
    """All rows of all twins, without rounding; truth and noise floor too."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["twin", "run", "family", "seed", "status", "day", *KEYS])

    def add(head: Sequence[Any], scores: Mapping[str, float]) -> None:
        writer.writerow([*head, *(scores.get(key, "") for key in KEYS)])

    for found in tables:
        twin = found["twin"]
        add([twin, "truth", "truth", "", "", ""], found["truth"])
        for n, row in enumerate(found["floor"], start=1):
            add([twin, f"noise floor {n}", "floor", "", "", ""], row)
        for row in found["rows"]:
            head = [twin, row["row"], row["family"], row.get("seed") or "", row["status"], row.get("day", "")]
            add(head, row["scores"] or {})
    return text.getvalue()


def write(folder: Path, name: str, tables: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> None:
    """NAME.json, NAME.csv and NAME.md in a folder, each written aside and renamed."""
    document = {**facts, "twins": {found["twin"]: found for found in tables}}
    page = "\n".join(markdown(found) for found in tables)
    texts = {
        "json": json.dumps(document, indent=1) + "\n",
        "csv": comma_separated(tables),
        "md": f"{facts['title']}\n\n`{facts['command']}`\n\n{page}",
    }
    keep(folder, name, texts)

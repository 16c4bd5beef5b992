"""The table of `halocline science online`: as JSON, CSV and Markdown."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.table import Table

from models.campaign import online_judge
from models.campaign.judge import JUDGED
from models.campaign.table import WIND_WORDS, keep, line
from models.campaign.truth import Truth
from models.evaluation.scores import COLUMNS, KEYS

BY_KEY = {column.key: column for column in COLUMNS}
SUMMARY = ("eke1", "eke2", "eta_rmse", "sd_eta", "h1_rmse", "u1_rmse", "t_rmse", "logspec", "tail")
UNKNOWN = "not known"


def wind_of(
    truth: Truth,
    rows: Sequence[Mapping[str, Any]],
    trainings: Sequence[Mapping[str, Any]],
    conventional: Mapping[str, Any],
    years: int,
    finer: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Everything about one wind: truth, floor, conventional rows, all runs with their similarity, designs over seeds.

    rows: records with scores, training, design, seed, start_state and, where stable, similarity and distributions; trainings: of
    online_plan.described; conventional: this wind of the frozen scan; finer: row, scores and similarities of the 20 km model.
    """
    labels = {one["training"]: one for one in trainings}
    named = {row["row"]: row for row in conventional["rows"]}
    best = named[conventional["best"]["overall"]]
    floor = online_judge.floor(best["scores"], truth, years)
    designs = {}
    for name in dict.fromkeys(one["design"] for one in trainings):
        mine = [one for one in trainings if one["design"] == name]
        designs[name] = online_judge.over_seeds([row for row in rows if row["design"] == name], mine)
    return {
        "wind": truth.wind,
        "truth": truth.values,
        "truth_years": [record.years for record in truth.records],
        "floor": truth.floors,
        "expected_floor": {"years": years, **truth.expected(years)},
        "similarity_floor": floor,
        "best": {"row": best["row"], "scores": best["scores"]},
        "best_of_each": {
            key: {"row": name, "scores": named[name]["scores"]}
            for key, name in conventional["best"].items()
            if key != "overall"
        },
        "finer": finer,
        "rows": list(rows),
        "designs": designs,
        "against_start": online_judge.against_start(rows, labels, 1 - floor["mean"]),
    }


def markdown(document: Mapping[str, Any]) -> str:
    """The page without its title: for each wind the designs, each seed against its start; then every run; then the trainings."""
    lines = [f"`{document['command']}`", "", document["rule"], ""]
    if document["missing"]:
        lines += [
            "**Without a network, so without a run:**",
            "",
            *(f"- {one}: {why}" for one, why in document["missing"].items()),
            "",
        ]
    for found in document["winds"].values():
        lines += _wind(document, found)
    for found in document["winds"].values():
        lines += _every_run(found)
    return "\n".join([*lines, *_trainings(document)]) + "\n"


def _wind(document: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    lengths = " + ".join(f"{years:.0f}" for years in found["truth_years"])
    years = found["expected_floor"]["years"]
    heads = ["trained", "stable", "similarity", "of distributions", "offline R2", "core-minutes"]
    keys = [BY_KEY[key] for key in SUMMARY]
    lines = [
        f"### Under {WIND_WORDS[found['wind']]}",
        "",
        f"Truth: {lengths} years of the 10 km ocean, coarse-grained, that no training has seen. Runs: {years:.0f} years of the "
        f"coupled Fortran ocean after one that is dropped, the network called every {document['asked']['every']} steps. Mean over "
        "seeds, in brackets smallest and largest; scores are of the stable runs, and all that blew up are counted.",
        "",
        line([*heads, *(_head(column) for column in keys)]),
        line(["---"] * (len(heads) + len(keys))),
        line(["**truth**", "", "1", "1", "", "", *(_cell(found["truth"][one.key], one) for one in keys)]),
        line(
            ["*sampling alone*", "", f"{found['similarity_floor']['mean']:.2f}", "", "", ""]
            + [_noise(found["expected_floor"][one.key], one) for one in keys]
        ),
        line(
            [f"best conventional: {found['best']['row']}", "", "0", "0", "", ""]
            + [_cell(found["best"]["scores"][one.key], one) for one in keys]
        ),
    ]
    if finer := found["finer"]:
        lines.append(
            line(
                [finer["row"], "", f"{finer['similarity']['mean']:.2f}", f"{finer['distributions']:.2f}", "", ""]
                + [_cell(finer["scores"][one.key], one) for one in keys]
            )
        )
    for name, group in found["designs"].items():
        known = document["designs"][name]
        lines.append(
            line(
                [
                    f"**{known['mode']}**: {name}, {known['words']}",
                    f"{group['stable']} of {group['runs']}" + _without(document, name),
                    _range(group["similarity"], 2),
                    _range(group["distributions"], 2),
                    _range(group["offline"], 3),
                    _minutes(group),
                    *(_range(group["scores"][one.key], one.digits) for one in keys),
                ]
            )
        )
    return [*lines, "", *_against(found), ""]


def _without(document: Mapping[str, Any], design: str) -> str:
    """How many seeds of a design have no network."""
    count = sum(label.rpartition("_s")[0] == design for label in document["missing"])
    return f", {count} not trained" if count else ""


def _against(found: Mapping[str, Any]) -> list[str]:
    """Each design's seeds against their own starts, in words."""
    lines = []
    noise = 1 - found["similarity_floor"]["mean"]
    for name in found["designs"]:
        pairs = [one for one in found["against_start"] if one["design"] == name]
        if not pairs:
            continue
        words = [one["word"] for one in pairs]
        counts = ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words))
        changes = ", ".join("-" if one["similarity"] is None else f"{one['similarity']:+.2f}" for one in pairs)
        offline = ", ".join(f"{one['offline']:+.3f}" for one in pairs)
        lines.append(
            f"- {name} against its own start, run by run: {counts}; similarity {changes}; offline R2 {offline}."
        )
    if not lines:
        return []
    return [f"Differences of similarity below {noise:.2f} (sampling alone) are called level.", "", *lines]


def _every_run(found: Mapping[str, Any]) -> list[str]:
    heads = ["run", "how it ended", "similarity", "of distributions"]
    columns = [column for column in COLUMNS if column.key not in ("sd_t", "sd_t_rmse", "sd_h1", "sd_h2")]
    lines = [
        f"### Every run under {WIND_WORDS[found['wind']]}",
        "",
        line([*heads, *(_head(column) for column in columns)]),
        line(["---"] * (len(heads) + len(columns))),
        line(["**truth**", "", "1", "1", *(_cell(found["truth"].get(one.key), one) for one in columns)]),
        *(
            line([f"*noise floor, truth {n} against the other*", "", "", "", *(_cell(row.get(one.key), one) for one in columns)])
            for n, row in enumerate(found["floor"], start=1)
        ),
        line([f"{found['best']['row']}", "", "0", "0", *(_cell(found["best"]["scores"].get(one.key), one) for one in columns)]),
    ]  # fmt: skip
    for row in found["rows"]:
        if row["scores"] is None:
            lines.append(line([row["row"], f"**blew up on day {row['day']}**", *[""] * (len(columns) + 2)]))
        else:
            scores = [f"{row['similarity']['mean']:.2f}", f"{row['distributions']:.2f}"]
            lines.append(
                line([row["row"], "finished", *scores, *(_cell(row["scores"].get(one.key), one) for one in columns)])
            )
    return [*lines, ""]


def _trainings(document: Mapping[str, Any]) -> list[str]:
    outputs = list(dict.fromkeys(name for one in document["trainings"] for name in one["offline"]))
    lines = [
        "### Trainings",
        "",
        "Offline: R2 about zero on the test part. Core-minutes: CPU time of the training and of all processes that it started, a "
        "rank that polls counts as busy; with ≈ wall-clock time of its epochs or windows, where CPU time was not recorded. The "
        "cost of the training that it began from is in the sum.",
        "",
        line(["training", "began from", *(f"R2 {name}" for name in outputs), "core-minutes", "its own", "sha256"]),
        line(["---"] * (len(outputs) + 5)),
    ]
    for one in document["trainings"]:
        about = "≈ " if one["cost_from"] == "wall" else ""
        lost = f" and {one['killed_starts']} killed" if one["killed_starts"] else ""
        cost = [_number(one[key], 1, about) for key in ("core_minutes", "own_core_minutes")]
        cost[0] += lost
        r2 = [f"{one['offline'][name]:.3f}" if name in one["offline"] else "" for name in outputs]
        lines.append(line([one["training"], one["began_from"] or "-", *r2, *cost, f"`{one['sha256'][:12]}`"]))
    return [*lines, ""]


def short(found: Mapping[str, Any]) -> Table:
    """The columns that fit a terminal."""
    page = Table(title=f"under {WIND_WORDS[found['wind']]}", box=SIMPLE)
    page.add_column("trained", overflow="fold")
    for name in ("stable", "similarity", "offline R2", "EKE1", "SSH rmse", "core-min"):
        page.add_column(name, justify="right", overflow="fold")
    truth = found["truth"]
    page.add_row("truth", "", "1", "", _cell(truth["eke1"], BY_KEY["eke1"]), "0", "", style="dim")
    best = found["best"]["scores"]
    page.add_row(
        found["best"]["row"], "", "0", "", _cell(best["eke1"], BY_KEY["eke1"]), f"{best['eta_rmse']:.2f}", "", style="dim"
    )  # fmt: skip
    for name, group in found["designs"].items():
        page.add_row(
            name,
            f"{group['stable']} of {group['runs']}",
            _range(group["similarity"], 2),
            _range(group["offline"], 3),
            _range(group["scores"]["eke1"], 0),
            _range(group["scores"]["eta_rmse"], 2),
            _minutes(group),
        )
    return page


def comma_separated(document: Mapping[str, Any]) -> str:
    """All runs of all winds, without rounding; truth, noise floor and the best conventional closure too."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    labels = {one["training"]: one for one in document["trainings"]}
    head = ["wind", "run", "design", "mode", "seed", "start", "status", "day", "similarity", "similarity_distributions"]
    writer.writerow([*head, "offline_r2", "core_minutes", *KEYS, *(f"similarity_{key}" for key in JUDGED)])

    def add(wind: str, name: str, scores: Mapping[str, float]) -> None:
        writer.writerow([wind, name, *[""] * 10, *(scores.get(key, "") for key in KEYS)])

    for wind, found in document["winds"].items():
        add(wind, "truth", found["truth"])
        for n, row in enumerate(found["floor"], start=1):
            add(wind, f"noise floor {n}", row)
        add(wind, found["best"]["row"], found["best"]["scores"])
        for row in found["rows"]:
            one, scores, near = labels[row["training"]], row["scores"] or {}, row.get("similarity") or {}
            mode = document["designs"][row["design"]]["mode"]
            cells = [wind, row["row"], row["design"], mode, row["seed"], row["start_state"], row["status"]]
            cells += [row.get("day", ""), near.get("mean", ""), row.get("distributions", "")]
            cells += [one["offline_mean"], one["core_minutes"] if math.isfinite(one["core_minutes"]) else ""]
            writer.writerow([*cells, *(scores.get(key, "") for key in KEYS), *(near.get(key, "") for key in JUDGED)])
    return text.getvalue()


def write(folder: Path, name: str, document: Mapping[str, Any], title: str) -> None:
    """NAME.json, NAME.csv and NAME.md in a folder, each written aside and renamed."""
    texts = {
        "json": json.dumps(_plain(document), indent=1, allow_nan=False) + "\n",
        "csv": comma_separated(document),
        "md": f"# {title}\n\n{markdown(document)}",
    }
    keep(folder, name, texts)


def _plain(value: Any) -> Any:
    """Numbers that are none as null, which JSON knows."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


def _head(column: Any) -> str:
    return f"{column.header} [{column.units}]" if column.units not in ("", "1") else column.header


def _cell(value: float | None, column: Any) -> str:
    return "" if value is None else f"{value:.{column.digits}f}"


def _noise(value: float, column: Any) -> str:
    relative = column.best == "truth" or column.key == "tail"
    return f"± {value:.1%}" if relative else f"± {value:.{column.digits}f}"


def _number(value: float | None, digits: int, about: str = "") -> str:
    return UNKNOWN if value is None or not math.isfinite(value) else f"{about}{value:.{digits}f}"


def _range(values: Mapping[str, Any], digits: int) -> str:
    """'0.61 (0.55, 0.68)'; '-' where no run was stable."""
    if values["mean"] is None:
        return "-"
    low, high = (f"{values[key]:.{digits}f}" for key in ("low", "high"))
    mean = f"{values['mean']:.{digits}f}"
    return mean if values["count"] < 2 else f"{mean} ({low}, {high})"


def _minutes(group: Mapping[str, Any]) -> str:
    about = "≈ " if "wall" in group["cost_from"] else ""
    return UNKNOWN if group["core_minutes"]["mean"] is None else about + _range(group["core_minutes"], 1)

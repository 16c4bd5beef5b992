"""How rows are judged: the best of the conventional scan, and what a network must and should reach."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from models.campaign.truth import Truth, distance

TAIL = 1.1  # a row whose spectrum is more than 10 % above truth's at the grid scale buys its energy with noise: not admitted
JUDGED = (
    "eke1",
    "eke2",
    "eta_rmse",
    "sd_eta",
    "sd_rmse",
    "h1_rmse",
    "h2_rmse",
    "u1_rmse",
    "r_eke",
    "t_rmse",
    "logspec",
)
FAMILIES = ("Smagorinsky", "Leith", "ZB20")
RULE = (
    f"Admitted: conventional rows of the coarse grid that were stable, with a tail of at most {TAIL:g}. The best of a "
    "score has the smallest distance from its best value (relative to truth where that is the truth's own). The best "
    f"overall has the smallest mean over {', '.join(JUDGED)} of this distance, each divided by its median over the admitted rows."
)
MUST = {"eke1": 0.20, "eke2": 0.20, "sd_eta": 0.10, "logspec": 0.20}
MUST_ETA = {"trained": 2.0, "unseen": 2.5}  # cm
SEED = re.compile(r"_?s(eed)?\d+(?= every )")


def admitted(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The conventional rows of the coarse grid that the scan is judged by."""
    return [
        row for row in rows if row["family"] in FAMILIES and row["scores"] is not None and row["scores"]["tail"] <= TAIL
    ]


def best(rows: Sequence[Mapping[str, Any]], truth: Truth) -> dict[str, str]:
    """Names of the best admitted row: of each score of JUDGED, and 'overall'. Empty when no row is admitted."""
    chosen = admitted(rows)
    if not chosen:
        return {}
    values = truth.values
    far = np.array([[distance(key, row["scores"][key], values) for key in JUDGED] for row in chosen])
    total = (far / np.fmax(np.median(far, axis=0), 1e-12)).mean(1)
    found = {key: str(chosen[n]["row"]) for key, n in zip(JUDGED, far.argmin(0), strict=True)}
    return {**found, "overall": str(chosen[int(total.argmin())]["row"])}


def design(name: str) -> str:
    """The name of a network's row without its seed: 'net_s1 every 3' and 'net_s2 every 3' are one design."""
    return SEED.sub("", name)


def seeds(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Over the seeds of each design: names, how many were stable, mean and relative spread (largest deviation) of each score."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["family"] == "network" and "," not in row["row"]:  # not other starts and lengths
            groups.setdefault(design(str(row["row"])), []).append(row)
    found: dict[str, dict[str, Any]] = {}
    for name, group in groups.items():
        stable = [row["scores"] for row in group if row["scores"] is not None]
        mean = {key: float(np.mean([row[key] for row in stable])) for key in (stable[0] if stable else {})}
        spread = {
            key: max(abs(row[key] - mean[key]) for row in stable) / abs(mean[key]) for key in ("eke1", "eke2") if stable
        }
        found[name] = {"rows": [row["row"] for row in group], "stable": len(stable), "mean": mean, "spread": spread}
    return found


def required(group: Mapping[str, Any], truth: Truth) -> dict[str, tuple[float, float, bool]]:
    """What the seeds of a design must reach together: distance, limit, and whether it holds; 'stable' counts seeds."""
    number = len(group["rows"])
    verdict = {"stable": (float(group["stable"]), float(number), group["stable"] == number)}
    if group["stable"]:
        values = truth.values
        for key, limit in {**MUST, "eta_rmse": MUST_ETA[truth.wind]}.items():
            far = distance(key, group["mean"][key], values)
            verdict[key] = (far, limit, far <= limit)
    return verdict


def better(row: Mapping[str, Any], other: Mapping[str, Any], truth: Truth) -> dict[str, bool]:
    """Score by score, whether a row is nearer to its best value than another row is."""
    values = truth.values
    return {
        key: distance(key, row["scores"][key], values) < distance(key, other["scores"][key], values)
        for key in (*JUDGED, "tail")
    }

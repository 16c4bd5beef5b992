"""How bias corrections are judged: what they must and should reach against the free model, the climatology and the closure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.campaign.truth import Truth, distance

MEANS = ("eta_rmse", "h1_rmse", "h2_rmse", "u1_rmse", "t_rmse")
MOMENTS = ("eke1", "eke2", "sd_eta", "sd_rmse", "r_eke", "sd_t", "sd_t_rmse", "sd_h1", "sd_h2", "logspec")
CUT = {
    "t_rmse": 2.5,
    "eta_rmse": 1.7,
    "h1_rmse": 1.7,
    "h2_rmse": 1.7,
}  # error of the free model over that of the network
CLEARLY = 0.8  # of the distance that the climatological increment leaves: nearer than this is clearly better
RESIDUAL = 0.85  # of the rms of the increments without the network
ENERGY = 0.10
SPARSE = 1.2  # of the errors with (a)


@dataclass(frozen=True)
class Verdict:
    """One line: what is asked, the value that was reached, its limit, whether it holds; `must` or an aim."""

    must: bool
    what: str
    value: float
    limit: float
    holds: bool


def mean_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, float] | None:
    """Mean of the scores over the seeds of a design; None when one of them blew up, or there is none."""
    if not rows or any(row["scores"] is None for row in rows):
        return None
    return {key: float(np.mean([row["scores"][key] for row in rows])) for key in rows[0]["scores"]}


def required(
    group: Sequence[Mapping[str, Any]],
    free: Mapping[str, float] | None,
    climatology: Mapping[str, float] | None,
    truth: Truth,
) -> list[Verdict]:
    """What every network of a design must reach: all seeds stable, errors cut, nearer than the climatological increment.

    group: the rows of its seeds; free, climatology: scores of those rows, None where they blew up (no ratio is then judged).
    """
    stable = sum(row["scores"] is not None for row in group)
    lines = [Verdict(True, "seeds stable to the end", stable, len(group), bool(group) and stable == len(group))]
    mean = mean_of(group)
    if mean is None:
        return lines
    if free is not None:
        for key, limit in CUT.items():
            ratio = free[key] / mean[key]
            lines.append(Verdict(True, f"{key}: free over network", ratio, limit, ratio >= limit))
    if climatology is not None:
        for key in ("t_rmse", *MOMENTS):
            ratio = _far(key, mean, truth) / max(_far(key, climatology, truth), 1e-12)
            lines.append(
                Verdict(True, f"{key}: distance over that of the climatology", ratio, CLEARLY, ratio <= CLEARLY)
            )
    return lines


def aimed(group: Sequence[Mapping[str, Any]], truth: Truth, years: float) -> list[Verdict]:
    """What a network should reach: the noise floor in SSH, the truth's eddy energy."""
    mean = mean_of(group)
    if mean is None:
        return []
    floor = truth.expected(years)["eta_rmse"]
    lines = [Verdict(False, "eta_rmse: sampling alone", mean["eta_rmse"], floor, mean["eta_rmse"] <= floor)]
    for key in ("eke1", "eke2"):
        far = _far(key, mean, truth)
        lines.append(Verdict(False, f"{key}: relative to the truth", far, ENERGY, far <= ENERGY))
    return lines


def sparse(group: Sequence[Mapping[str, Any]], dense: Sequence[Mapping[str, Any]]) -> list[Verdict]:
    """Errors of a network from sparse observations (c) over those of one from direct insertion (a)."""
    mean, other = mean_of(group), mean_of(dense)
    if mean is None or other is None:
        return []
    ratios = {key: mean[key] / other[key] for key in CUT}
    return [Verdict(False, f"{key}: (c) over (a)", ratio, SPARSE, ratio <= SPARSE) for key, ratio in ratios.items()]


def together(
    both: Sequence[Mapping[str, Any]],
    network: Sequence[Mapping[str, Any]],
    closure: Mapping[str, float] | None,
    truth: Truth,
) -> list[Verdict]:
    """Closure and correction in one run, against the better of each alone: distance over distance, score by score."""
    mean, alone = mean_of(both), mean_of(network)
    others = [one for one in (alone, closure) if one is not None]
    if mean is None or not others:
        return []
    lines = []
    for key in (*MEANS, "eke1", "eke2", "sd_eta", "logspec"):
        best = min(_far(key, one, truth) for one in others)
        ratio = _far(key, mean, truth) / max(best, 1e-12)
        lines.append(Verdict(False, f"{key}: closure + correction over the better alone", ratio, 1.0, ratio <= 1))
    return lines


def smaller(residual: Mapping[str, float]) -> list[Verdict]:
    """Increments with the network in the model over those without; `residual` has 'total' (bias_increments.compared)."""
    ratio = residual["total"]
    return [Verdict(True, "residual increments over the first", ratio, RESIDUAL, ratio <= RESIDUAL)]


def harmful(row: Mapping[str, Any], free: Mapping[str, float], truth: Truth) -> list[str]:
    """Why a run is no correction at all, in words: it blew up, or a mean error is larger than that of the free model.

    A units error shows here: an increment that is used as a tendency is too large by the seconds of its window.
    """
    if row["scores"] is None:
        return [f"blew up on day {row['day']}: {row.get('message', '')}".rstrip(": ")]
    worse = [key for key in MEANS if _far(key, row["scores"], truth) > _far(key, free, truth)]
    return [f"{key} {row['scores'][key]:.3g}, free {free[key]:.3g}" for key in worse]


def _far(key: str, scores: Mapping[str, float], truth: Truth) -> float:
    return distance(key, scores[key], truth.values)

"""How closures are judged that were trained in other ways: similarity, each seed against its start, and that no run is left out."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from coupler.errors import HaloclineError
from models.campaign.judge import JUDGED
from models.campaign.truth import Truth, distance
from models.evaluation.climate import Climate
from models.evaluation.scores import KMAX
from models.evaluation.similarity import similarities

SHOWN = (*JUDGED, "tail")
RULE = (
    f"Similarity: the mean over {', '.join(JUDGED)} of 1 - d / d_best, d the distance of a score from its best value (relative "
    "where that is the truth's own) and d_best that of the best conventional closure overall: 1 is the truth, 0 no better than "
    "that closure. Similarity of distributions: the mean of the similarities of Ross et al. (2023) with the same closure as "
    "baseline: Wasserstein distance of u, v, KE, vorticity, enstrophy, and spectra, both layers."
)


def far(key: str, scores: Mapping[str, float], truth: Truth) -> float:
    """Distance of a score from its best value."""
    return distance(key, scores[key], truth.values)


def similarity(scores: Mapping[str, float], best: Mapping[str, float], truth: Truth) -> dict[str, float]:
    """1 - d / d_best of each judged score, and `mean`. best: scores of the best conventional closure."""
    found = {key: 1 - far(key, scores, truth) / max(far(key, best, truth), 1e-12) for key in JUDGED}
    return {**found, "mean": float(np.mean(list(found.values())))}


def floor(best: Mapping[str, float], truth: Truth, years: float) -> dict[str, float]:
    """The similarity of the truth itself, run for so many years: what sampling alone leaves."""
    expected = truth.expected(years)
    found = {key: 1 - expected[key] / max(far(key, best, truth), 1e-12) for key in JUDGED}
    return {**found, "mean": float(np.mean(list(found.values())))}


def distributions(run: Climate, truth: Climate, best: Climate) -> float:
    """Mean of the similarities of Ross et al. (2023), from the best conventional closure as baseline."""
    values = [value for value in similarities(run, truth, best, KMAX).values() if np.isfinite(value)]
    return float(np.mean(values)) if values else float("nan")


def spread(values: Iterable[float]) -> dict[str, Any]:
    """Mean, smallest, largest and number of values; None where there is none, or one of them is no number."""
    found = [float(value) for value in values]
    if not found or not np.isfinite(found).all():
        return {"mean": None, "low": None, "high": None, "count": len(found)}
    return {"mean": float(np.mean(found)), "low": min(found), "high": max(found), "count": len(found)}


def over_seeds(rows: Sequence[Mapping[str, Any]], trainings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A design over its runs: how many were stable, and the spread of scores, similarities, offline R2 and cost.

    Scores are of the stable runs; how many are not stands beside them.
    """
    stable = [row for row in rows if row["scores"] is not None]
    return {
        "runs": len(rows),
        "stable": len(stable),
        "scores": {key: spread(row["scores"][key] for row in stable) for key in SHOWN},
        "similarity": spread(row["similarity"]["mean"] for row in stable),
        "distributions": spread(row["distributions"] for row in stable),
        "offline": spread(one["offline_mean"] for one in trainings),
        "core_minutes": spread(one["core_minutes"] for one in trainings),
        "cost_from": sorted({one["cost_from"] for one in trainings}),
    }


def against_start(
    rows: Sequence[Mapping[str, Any]], trainings: Mapping[str, Mapping[str, Any]], noise: float
) -> list[dict[str, Any]]:
    """Each run against the run of the network that its training began from, under the same wind, from the same state.

    rows: all of a wind; trainings: what online_plan.described tells, by label; noise: of the similarity, by sampling alone. A run
    that blew up where its start did not is 'worse', the other way round 'better', both: 'both blew up'.
    """
    by_run = {(row["training"], row["start_state"]): row for row in rows}
    found = []
    for row in rows:
        first = by_run.get((trainings[row["training"]]["began_from"], row["start_state"]))
        if first is None:
            continue
        mine, theirs = (None if one["scores"] is None else one["similarity"]["mean"] for one in (row, first))
        change = mine - theirs if mine is not None and theirs is not None else None
        if change is not None:
            word = "better" if change > noise else "worse" if change < -noise else "level"
        else:
            word = "both blew up" if mine is theirs else "worse" if mine is None else "better"
        r2 = trainings[row["training"]]["offline_mean"] - trainings[first["training"]]["offline_mean"]
        found.append({"run": row["row"], "design": row["design"], "similarity": change, "offline": r2, "word": word})
    return found


def quantities(
    scores: Mapping[str, float], other: Mapping[str, float], truth: Truth, expected: Mapping[str, float]
) -> dict[str, str]:
    """Quantity by quantity 'better', 'worse' or 'level' with another run: nearer to the best value by more than sampling leaves."""
    words = {}
    for key in SHOWN:
        gain = far(key, other, truth) - far(key, scores, truth)
        words[key] = "better" if gain > expected[key] else "worse" if gain < -expected[key] else "level"
    return words


def complete(document: Mapping[str, Any]) -> None:
    """HaloclineError unless every network has each of its runs under each wind once, of its own file and length.

    document: what online_table.document made. The same namelist under two winds is one run that was counted twice.
    """
    wrong: list[str] = []
    namelists: dict[str, str] = {}
    asked = document["asked"]
    labels = {one["training"]: one for one in document["trainings"]}
    expected = {(label, start) for label in labels for start in range(1, asked["starts"] + 1)}
    for wind, table in document["winds"].items():
        seen: list[tuple[str, int]] = []
        for row in table["rows"]:
            name = f"{row['row']} under {wind}"
            if (row["training"], row["start_state"]) in seen:
                wrong.append(f"{name}: twice")
            seen.append((row["training"], row["start_state"]))
            if row["wind"] != wind:
                wrong.append(f"{name}: a run under the wind '{row['wind']}'")
            if row["years"] != asked["years"]:
                wrong.append(f"{name}: a run of {row['years']} years, {asked['years']} were asked for")
            network = labels.get(row["training"])
            if network is not None and row["artefact"]["sha256"] != network["sha256"]:
                wrong.append(f"{name}: a run of another network than {row['training']} holds now")
            if (other := namelists.setdefault(row["namelist"]["sha256"], name)) != name:
                wrong.append(f"{name}: the same run as {other}")
            if row["scores"] is None and "day" not in row:
                wrong.append(f"{name}: without scores and without the day on which it blew up")
        wrong += [f"{label}, start {start}, under {wind}: no run" for label, start in sorted(expected - set(seen))]
        wrong += [f"{label}, start {start}, under {wind}: unknown run" for label, start in sorted(set(seen) - expected)]
    if wrong:
        raise HaloclineError("the table does not hold what was asked for:\n  " + "\n  ".join(wrong))

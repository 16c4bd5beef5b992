"""What an inversion leaves: the ocean's namelist with the fitted switches, scores of a run with them, and an honest card."""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from coupler.errors import HaloclineError
from models.campaign import truth
from models.campaign.judge import JUDGED
from models.campaign.matrix import WINDS
from models.campaign.truth import Truth, distance
from models.data.ocean import read_switches
from models.eki import members
from models.eki.files import replace
from models.eki.log import HISTORY, PICTURE, WHOLE, Iteration
from models.eki.members import Ensemble
from models.eki.observed import STATISTICS
from models.eki.parameters import fortran, values
from models.evaluation.climate import Climate
from models.evaluation.scores import COLUMNS, scores
from models.settings import NamEki, NamEval, NamTrain, load

NEAR, SMALL = 1.5, 0.5  # misfits that the best run should lie between; a perfect model has 1
FITTED, SCORES, CLIMATE = "fitted", "scores.json", "climate.npz"
SHOWN = (*JUDGED, "tail")
Scores = dict[str, Any]


def check(eki: NamEki) -> None:
    """HaloclineError for a table of conventional closures or a truth that cannot be compared with, before anything runs."""
    if eki.cn_conventional:
        _conventional(eki)
        if not eki.rn_judge:
            raise HaloclineError(
                f"cn_conventional needs a run to compare with: rn_judge is 0.\n  {eki.where('cn_conventional')}. Set "
                "rn_judge, 7560 for 20 years after one that is dropped."
            )
    missing = [name for name in eki.cn_test if not Path(name).exists()]
    if missing:
        raise HaloclineError(f"there is no {missing[0]}.\n  {eki.where('cn_test')}.")
    files = [Path(name) for name in eki.cn_test if Path(name).is_file()]
    try:
        climates = [Climate.load(path) for path in files]
    except HaloclineError as error:
        raise HaloclineError(f"{error}\n  {eki.where('cn_test')}.") from None
    if climates and len(eki.cn_test) == 1:
        raise HaloclineError(
            f"cn_test names one climate, {files[0]}, from which no sampling error can be taken.\n  {eki.where('cn_test')}. "
            "Name a second one, or a data set."
        )


def skipped(cfg: Path, eki: NamEki) -> float:
    """rn_skip of CFG [days]. HaloclineError when it leaves nothing of the run that is judged."""
    evaluated = (load(cfg, NamEval) or [NamEval()])[0]
    if evaluated.rn_skip >= eki.rn_judge:
        raise HaloclineError(
            f"rn_skip = {evaluated.rn_skip:g} days leave nothing of a run of rn_judge = {eki.rn_judge:g} days.\n"
            f"  {eki.where('rn_judge')}; {evaluated.where('rn_skip')}. Set rn_judge to 7560 for 20 years after one that is "
            "dropped."
        )
    return evaluated.rn_skip


def leave(cfg: Path, train: NamTrain, ensemble: Ensemble, iterations: Sequence[Iteration], console: Console) -> None:
    """Write fitted/, scores.json where rn_judge is set, and README.md."""
    eki, folder = ensemble.eki, ensemble.folder
    last = iterations[-1]
    found = tuple(values(ensemble.parameters, last.x.mean(0)))
    namelist(Path(eki.cn_ocean), folder / FITTED, fortran(ensemble.parameters, found))
    document = None
    if eki.rn_judge:
        skip = skipped(cfg, eki)
        document = _judged(ensemble, found, skip)
        replace(folder / SCORES, json.dumps(document, indent=1).encode())
    warnings = doubts(iterations, eki.rn_error)
    text = _card(train, ensemble, iterations, found, document, warnings)
    replace(folder / "README.md", text.encode())
    for one, value in zip(ensemble.parameters, found, strict=True):
        console.print(f"{one.switch} = {value:.5g}", highlight=False)
    for line in warnings:
        console.print(f"warning: {line}", highlight=False, soft_wrap=True)
    console.print(f"{folder / FITTED / 'namelist_cfg'}, {folder / 'README.md'}", highlight=False, soft_wrap=True)


def doubts(iterations: Sequence[Iteration], error: float) -> list[str]:
    """Why the fitted values may be wrong, in words. error: rn_error of these iterations."""
    found = []
    means = [float(one.misfit[one.alive].mean()) if one.alive.any() else float("inf") for one in iterations]
    least = min(float(one.misfit[one.alive].min()) for one in iterations if one.alive.any())
    if iterations[-1].done < WHOLE:
        found.append(
            f"the steps sum to {iterations[-1].done:.3g} of 1: nn_iterations ended the fit before it was done. Raise it, and run "
            "again: it goes on."
        )
    if least > NEAR:
        found.append(
            f"no run came nearer to the truth than a misfit of {least:.3g}, where a perfect model has 1: rn_error = {error:g} is "
            "too small for what this ocean can reach, and the spread of the last ensemble too narrow. Set it to "
            f"{error * least**0.5:.2g} or so."
        )
    if least < SMALL and error > 1.0:
        found.append(
            f"the least misfit is {least:.3g}, where a perfect model has 1: rn_error = {error:g} is larger than this ocean asks "
            "for; the truth counts for little, and the values stay near the prior. Set it to "
            f"{max(1.0, error * least**0.5):.2g} or so."
        )
    if means[-1] > 1.1 * min(means):
        best = means.index(min(means))
        found.append(
            f"the last ensemble has a mean misfit of {means[-1]:.3g}, iteration {best} had {means[best]:.3g}: the fit has gone too "
            "far. Take a larger rn_error, more members or longer runs."
        )
    return found


def namelist(cfg: Path, folder: Path, edits: dict[str, str]) -> None:
    """The configuration of the ocean with these switches in a folder, as files of its own. HaloclineError when the disk refuses."""
    aside = folder.with_name(f"{folder.name}.part")
    try:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        members.configured(cfg, aside, edits)
        for link in [path for path in aside.iterdir() if path.is_symlink()]:
            target = link.resolve()
            link.unlink()
            shutil.copyfile(target, link)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(aside, folder)
    except OSError as error:
        raise HaloclineError(
            f"cannot write {folder}: {error.strerror}. Make room, then run again: it goes on."
        ) from None


def _judged(ensemble: Ensemble, found: tuple[float, ...], skip: float) -> Scores:
    """Scores of a run of rn_judge days with the fitted values; kept, so that it is run once."""
    eki, folder = ensemble.eki, ensemble.folder
    asked = {"values": list(found), "days": eki.rn_judge, "skip": skip}
    try:
        end = json.loads((folder / SCORES).read_text(encoding="utf-8"))["run"]
        climate = Climate.load(folder / CLIMATE) if end["asked"] == asked and end["status"] == "finished" else None
        again = end["asked"] != asked
    except (OSError, ValueError, KeyError, HaloclineError):
        again, climate, end = True, None, {}
    if again:
        (folder / CLIMATE).unlink(missing_ok=True)
        ended, climate = members.fitted_climate(ensemble, found, eki.rn_judge, skip)
        end = {"asked": asked, **ended}
        if climate is not None:
            climate.save(folder / CLIMATE)
    true = truth.read("of the test", [Path(name) for name in eki.cn_test or eki.cn_truth])
    document: Scores = {"run": end, "truth": true.values, "floor": true.expected(climate.years) if climate else None}
    document["fitted"] = scores(climate, true.joint) if climate else None
    if eki.cn_conventional:
        document["conventional"] = _conventional(eki) | {"same truth": _same(_conventional(eki)["truth"], true)}
    return document


def _same(there: dict[str, float], here: Truth) -> bool:
    return all(abs(there[key] / here.values[key] - 1) < 1e-4 for key in ("eke1", "eke2", "sd_eta"))


def _conventional(eki: NamEki) -> Scores:
    """The best row of a scan under the ocean's wind, its scores, and those of the truth that it was judged against."""
    path = Path(eki.cn_conventional)
    wind = float(read_switches(Path(eki.cn_ocean))["namsbc", "rn_tauas"])
    name = next((name for name, part in WINDS.items() if abs(part - wind) < 1e-6), "")
    try:
        table = json.loads(path.read_text(encoding="utf-8"))["winds"][name]
        row = next(one for one in table["rows"] if one["row"] == table["best"]["overall"])
        return {"row": row["row"], "scores": row["scores"], "truth": table["truth"]}
    except (OSError, ValueError, KeyError, StopIteration, TypeError):
        raise HaloclineError(
            f"{path} has no best row for the wind of this ocean (rn_tauas = {wind:g}).\n  {eki.where('cn_conventional')}. Name the "
            "conventional.json of halocline science scan, or leave it out."
        ) from None


# --- README.md -------------------------------------------------------------------------------------------------------


def _card(
    train: NamTrain,
    ensemble: Ensemble,
    iterations: Sequence[Iteration],
    found: tuple[float, ...],
    document: Scores | None,
    warnings: Sequence[str],
) -> str:
    eki, seen = ensemble.eki, ensemble.observation
    last = iterations[-1]
    lines = [
        f"# {train.cn_name}: switches fitted by ensembles of runs",
        "",
        "| switch | prior | fitted | spread of the last ensemble |",
        "|---|---|---|---|",
    ]
    for n, (switch, value) in enumerate(zip(ensemble.parameters, found, strict=True)):
        spread = float(last.x[:, n].std(ddof=1))
        factor = "times or over e^" if switch.transform == "log" else "+- "
        before = f"{switch.value(switch.first):.4g} {factor}{switch.spread:.3g}"
        lines.append(f"| `{switch.switch}` | {before} | **{value:.5g}** | {factor}{spread:.2g} |")
    lines += [
        "",
        f"`{FITTED}/namelist_cfg` is the ocean's namelist with these values. Method: ensemble Kalman inversion, "
        f"{eki.nn_members} members, update '{eki.cn_update}', steps '{eki.cn_step}', seed {train.nn_seed} (docs/pages/eki.md). "
        f"Each member ran {eki.rn_days:g} days, the first {eki.rn_spinup:g} dropped, from "
        f"{eki.cn_restart or 'true states'}. Truth: {', '.join(eki.cn_truth)}, {seen.blocks} blocks of {seen.days:g} days; "
        f"its error is what varies between them, times {eki.rn_error:g}. The steps sum to {last.done:.3g} of 1.",
        "",
        *(text for line in warnings for text in (f"**Doubt**: {line}", "")),
        "The fitted values are the mean of the last ensemble. Its spread is what this error leaves open; what no values of these "
        "switches can mend stands in the misfit.",
        "",
        "## Misfit",
        "",
        "Mean square difference from the truth in units of its error, all statistics with their correlations (a perfect "
        "model: 1); then the rms difference of each statistic in standard deviations.",
        "",
        f"| iteration | misfit | least | {' | '.join(seen.names)} | came through |",
        "|" + "---|" * (len(seen.names) + 4),
    ]
    for one in iterations:
        parts, good = one.parts(seen), one.misfit[one.alive]
        numbers = [f"{parts[name]:.3g}" for name in seen.names] if len(good) else ["" for _ in seen.names]
        fit = (f"{good.mean():.4g}", f"{good.min():.4g}") if len(good) else ("", "")
        lines.append(
            f"| {one.number} | {fit[0]} | {fit[1]} | {' | '.join(numbers)} | {len(good)} of {len(one.misfit)} |"
        )
    lines += ["", *[f"- {name}: {STATISTICS[name][0]}" for name in seen.names], ""]
    begun, now = iterations[0].parts(seen), last.parts(seen) if last.alive.any() else {}
    worse = [f"{name} ({begun[name]:.3g} to {now[name]:.3g})" for name in now if now[name] > begun[name]]
    lines += [f"Farther from the truth than in the first ensemble: {', '.join(worse) or 'none of them'}.", ""]
    lines += [f"![Members, mean and misfit]({PICTURE})", "", *_stability(ensemble, iterations)]
    if document is not None:
        lines += ["", *_scored(eki, document)]
    cost = sum(result["seconds"] for one in iterations for result in one.results)
    count = sum(len(one.results) for one in iterations)
    lines += [
        "",
        f"Cost: {count} runs of {eki.rn_days:g} days, {cost:.0f} s of wall clock together. Every run: `{HISTORY}`.",
    ]
    return "\n".join(lines) + "\n"


def _stability(ensemble: Ensemble, iterations: Sequence[Iteration]) -> list[str]:
    eki = ensemble.eki
    failed = [(one.number, n, one.results[n]) for one in iterations for n in one.failed]
    count = sum(len(one.results) for one in iterations)
    lines = [
        "## Stability",
        "",
        f"{count - len(failed)} of {count} runs were stable for all their {eki.rn_days:g} days"
        + ("; these were not, and were drawn anew from the others:" if failed else "."),
    ]
    if failed:
        switches = list(eki.cn_parameters)
        lines += [
            "",
            f"| iteration | member | {' | '.join(switches)} | day | how |",
            "|" + "---|" * (len(switches) + 4),
        ]
        for number, n, one in failed:
            tried = " | ".join(f"{one['values'][name]:.4g}" for name in switches)
            lines.append(
                f"| {number} | {n} | {tried} | {'' if one['day'] is None else one['day']} | {one['message'].strip()} |"
            )
    return lines


def _scored(eki: NamEki, document: Scores) -> list[str]:
    """The table of scores, and what is worse than in the best conventional row."""
    end, own, other = document["run"], document["fitted"], document.get("conventional")
    lines = ["## Scores", ""]
    if own is None:
        return [
            *lines,
            f"The run with the fitted values **{end['status']}** on day {end['day']}: {end['message'].strip()} No scores.",
        ]
    lines += [
        f"A run with the fitted values, stable for {eki.rn_judge:g} days, of which {own['years']:.3g} years count, against "
        f"{', '.join(eki.cn_test or eki.cn_truth)}. Sampling alone leaves the differences in the last column "
        "(relative where the best value is the truth's).",
        "",
        "| score | truth | fitted |" + (f" {other['row']} |" if other else "") + " sampling |",
        "|---|---|---|" + ("---|" if other else "") + "---|",
    ]
    for column in (one for one in COLUMNS if one.key in SHOWN):
        key, digits = column.key, column.digits
        cells = [f"{document['truth'][key]:.{digits}f}", f"{own[key]:.{digits}f}"]
        cells += [f"{other['scores'][key]:.{digits}f}"] if other else []
        units = f" [{column.units}]" if column.units not in ("", "1") else ""
        lines.append(
            f"| {column.header}{units} | {' | '.join(cells)} | {document['floor'].get(key, float('nan')):.2g} |"
        )
    if other is None:
        return lines
    far = {key: [distance(key, one[key], document["truth"]) for one in (own, other["scores"])] for key in SHOWN}
    headers = {column.key: column.header for column in COLUMNS}
    worse = [headers[key] for key, (mine, theirs) in far.items() if mine > theirs]
    lines += [
        "",
        f"Worse than the best conventional closure, {other['row']}: {', '.join(worse) or 'nothing'} "
        f"({len(worse)} of {len(far)} scores).",
    ]
    if not other["same truth"]:
        lines.append("That row was judged against another truth: the two columns cannot be compared closely.")
    return lines

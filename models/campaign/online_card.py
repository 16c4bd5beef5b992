"""The 'Online' section of an artefact's card: how long it was stable, and where it was better and worse, quantity by quantity."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coupler.errors import HaloclineError
from models.campaign import online_judge
from models.campaign.online_judge import SHOWN
from models.campaign.table import WIND_WORDS, line
from models.campaign.truth import Truth
from models.evaluation.scores import COLUMNS

SECTION = re.compile(r"^## Online\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
BY_KEY = {column.key: column for column in COLUMNS}
CARD = "README.md"


def section(document: Mapping[str, Any], training: str, truths: Mapping[str, Truth]) -> str:
    """The section of one network, from what online_table.document holds; truths by wind.

    Better and worse: nearer to the truth's value, or farther, than the other by more than sampling alone leaves.
    """
    known = next(one for one in document["trainings"] if one["training"] == training)
    asked = document["asked"]
    runs = [
        (wind, row) for wind, found in document["winds"].items() for row in found["rows"] if row["training"] == training
    ]
    lost = sum(row["scores"] is None for _, row in runs)
    first = known["began_from"]
    lines = [
        "## Online",
        "",
        f"Judged in the Fortran ocean, coupled, called every {asked['every']} steps: `{document['command']}`, code "
        f"{document['provenance']['revision'] or 'of no checkout'}. {asked['years']} years after one that is dropped, against "
        "coarse-grained truth that no training has seen. "
        + ("All runs were stable to the end:" if not lost else f"**{lost} of {len(runs)} runs blew up:**"),
        "",
        line(["run", "wind", "how it ended"]),
        line(["---"] * 3),
        *(line([row["row"], WIND_WORDS[wind], _ended(row, asked["years"])]) for wind, row in runs),
        "",
        *_siblings(document, known),
    ]
    for wind, row in runs:
        found = document["winds"][wind]
        if row["scores"] is not None:
            other = next(
                (one for one in found["rows"] if (one["training"], one["start_state"]) == (first, row["start_state"])),
                None,
            )
            lines += _scores(found, row, truths[wind], first, other)
    return "\n".join(lines).rstrip() + "\n\n"


def fill(text: str, new: str) -> str:
    """A card with this section in place of its own, or at its end. new: of `section`."""
    if not SECTION.search(text):
        return f"{text.rstrip()}\n\n{new.rstrip()}\n"
    return SECTION.sub(lambda _: new, text, count=1).rstrip() + "\n"


def write(document: Mapping[str, Any], training: str, folder: Path, truths: Mapping[str, Truth]) -> None:
    """Fill the card in a training's folder. HaloclineError where it is not there, or the disk refuses."""
    path = folder / CARD
    try:
        text = fill(path.read_text(encoding="utf-8"), section(document, training, truths))
        part = path.with_name(f"{path.name}.part")
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise HaloclineError(f"cannot fill the card {path}: {error.strerror}. `halocline train` writes it.") from None


def _ended(row: Mapping[str, Any], years: int) -> str:
    return f"finished, {years + 1} years" if row["scores"] is not None else f"**blew up on day {row['day']}**"


def _siblings(document: Mapping[str, Any], known: Mapping[str, Any]) -> list[str]:
    """How the other seeds of the recipe did: a single one tells little."""
    texts = []
    for found in document["winds"].values():
        group = found["designs"][known["design"]]
        near = group["similarity"]
        value = (
            "" if near["mean"] is None else f", similarity {near['mean']:.2f} ({near['low']:.2f} to {near['high']:.2f})"
        )
        texts.append(f"{group['stable']} of {group['runs']} runs stable{value} under {WIND_WORDS[found['wind']]}")
    return [f"All seeds of this recipe: {'; '.join(texts)}.", ""]


def _scores(
    found: Mapping[str, Any], row: Mapping[str, Any], truth: Truth, first: str, other: Mapping[str, Any] | None
) -> list[str]:
    expected, years = found["expected_floor"], found["expected_floor"]["years"]
    bests = {key: found["best_of_each"].get(key, found["best"]) for key in SHOWN}
    against_best = {
        key: online_judge.quantities(row["scores"], best["scores"], truth, expected)[key] for key, best in bests.items()
    }
    against_start = (
        online_judge.quantities(row["scores"], other["scores"], truth, expected) if other and other["scores"] else {}
    )
    heads = ["quantity", "truth", "this network", "best conventional of this quantity", "than it"]
    heads += [f"its start, {first}", "than it"] if first else []
    lines = [
        f"### {row['row']}, {WIND_WORDS[found['wind']]}",
        "",
        f"Similarity {row['similarity']['mean']:.2f}; 1 is the truth, {years:.0f} years of which would have "
        f"{found['similarity_floor']['mean']:.2f}, and 0 the best conventional closure overall ({found['best']['row']}).",
        "",
        line(heads),
        line(["---"] * len(heads)),
    ]
    for key in SHOWN:
        column, best = BY_KEY[key], bests[key]
        name = f"{column.header} [{column.units}]" if column.units not in ("", "1") else column.header

        def cell(scores: Mapping[str, float], key: str = key, digits: int = column.digits) -> str:
            return f"{scores[key]:.{digits}f}"

        cells = [name, cell(truth.values), cell(row["scores"])]
        cells += [f"{cell(best['scores'])}, {best['row']}", against_best[key]]
        if first:
            ended = cell(other["scores"]) if other and other["scores"] else "blew up" if other else "not run"
            cells += [ended, against_start.get(key, "better" if other and not other["scores"] else "")]
        lines.append(line(cells))
    lines += ["", *_words("the best conventional closure of each quantity", against_best)]
    if against_start:
        lines += _words(f"its own offline start {first}", against_start)
    elif other is not None:
        lines += [f"- Its own offline start {first} blew up on day {other['day']}.", ""]
    return lines if lines[-1] == "" else [*lines, ""]


def _words(other: str, words: Mapping[str, str]) -> list[str]:
    def named(word: str) -> str:
        return ", ".join(BY_KEY[key].header for key, one in words.items() if one == word) or "nothing"

    return [f"- Against {other}: better in {named('better')}; worse in {named('worse')}; level in {named('level')}."]

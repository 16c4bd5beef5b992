"""Trainings of bias corrections: the recipe of namelists/gyre_bias_train, its data, harmonics, family and seed set for each."""

import hashlib
import json
from pathlib import Path
from typing import Any

from models.campaign import runs
from models.campaign.bias_increments import mark_as, origin
from models.campaign.bias_rows import Correction, Twin
from models.campaign.command import command

RECIPE = runs.NAMELISTS / "gyre_bias_train" / "namelist_cfg"
# Analyses of sparse observations err: a network damps what it reads there, and noise would have it damp more. One seed, 10 years of
# the twin with the wrong wind: SSH 3.1 cm with noise 0.1, 2.1 without.
SWITCHES: dict[str, dict[str, str]] = {"enoi": {"namtrain.rn_noise": "0.", "namtrain.rn_amplify": "0."}}
# A mean over time is fitted at once: no layers.
CLIMATOLOGY = {"namtrain.cn_family": "'increment_mean'", "namtrain.nn_dilations": "1"}


def namelist(twin: Twin, correction: Correction, data: Path, recipe: Path, threads: int, path: Path) -> None:
    """Write the namelist of a training: the recipe with the data set, the name, and what the twin and the kind ask for."""
    path.write_text(recipe.read_text(encoding="utf-8"), encoding="utf-8")
    edits = {
        "namtrain.cn_name": f"'{correction.label}'",
        "namtrain.cn_data": f"'{data}'",
        "namtrain.nn_harmonics": str(twin.harmonics),
        "namtrain.nn_seed": str(max(correction.seed, 1)),
        "namtrain.nn_threads": str(threads),
        **SWITCHES.get(correction.method, {}),
    }
    if correction.kind == "climatology":
        edits |= CLIMATOLOGY
    runs.fortran(path, edits)


def trained(
    twin: Twin, correction: Correction, data: Path, folder: Path, recipe: Path = RECIPE, threads: int = 1
) -> Path:
    """The artefact `folder`/LABEL.onnx, trained unless the same recipe on the same data has made it.

    An interrupted training goes on; one whose recipe or data has changed begins anew. HaloclineError as `halocline train` has them.
    """
    artefact, mark = folder / f"{correction.label}.onnx", folder / "made.json"
    cfg = folder.parent / f"{folder.name}.cfg"
    cfg.mkdir(parents=True, exist_ok=True)
    namelist(twin, correction, data, recipe, threads, cfg / "namelist_cfg")
    record = {"recipe": _recipe(cfg / "namelist_cfg"), "increments": origin(data).get("namelist", "")}
    if artefact.is_file() and _read(mark) == record:
        return artefact
    words, begun = ["train", str(cfg), "--rundir", str(folder)], cfg / "begun.json"
    if _read(begun) != record:
        words.append("--overwrite")
        mark_as(begun, record)
    command(words, folder.parent / f"{folder.name}.log")
    mark_as(mark, record)
    return artefact


def _recipe(path: Path) -> str:
    """Hash of the lines that decide the weights."""
    lines = path.read_text(encoding="utf-8").splitlines()
    kept = [line.strip() for line in lines if line.strip() and "nn_threads" not in line]
    return hashlib.sha256("\n".join(kept).encode()).hexdigest()


def _read(mark: Path) -> Any:
    try:
        return json.loads(mark.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None

"""What a training says before and after: the data and the network in words, scores, artefacts and their card."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console

from coupler.settings import config_file
from models.emulator.fit import FILE
from models.families.increment import State
from models.families.trainable import Trainable
from models.settings import NamTrain
from models.training import artefact, checkpoint, explained, scores
from models.training.history import replace
from models.training.scores import Score
from models.training.trainer import threads

if TYPE_CHECKING:
    from models.training.setup import Setup


def describe(setup: "Setup", recipe: Mapping[str, Any], console: Console) -> None:
    """What is trained, in some lines, and what is to be warned of. recipe: all switches, as in a checkpoint."""
    train, samples = setup.train, setup.samples
    count = sum(weight.numel() for weight in setup.network.parameters())
    lost = len(samples.target) - sum(
        len(part) for part in (samples.train, samples.val, samples.test, *samples.others.values())
    )
    console.print(
        f"{train.cn_name}: {train.cn_family}, {count} weights, radius {setup.network.radius}, reads "
        f"{', '.join(map(str, samples.channels))}\n"
        f"data: {len(samples.train)} samples to train, {len(samples.val)} to validate, {len(samples.test)} to test, {lost} in "
        f"gaps of {samples.gap / 86400:.3g} days; grid {samples.grid.nx} x {samples.grid.ny}, sha256 {samples.digest[:12]}\n"
        f"training: {_training(setup, recipe)}",
        highlight=False,
        soft_wrap=True,
    )
    if setup.seasons is not None:
        for text in (setup.seasons.warning, *restore_warnings(train, setup.seasons.climate.window)):
            if text:
                console.print(text, highlight=False, soft_wrap=True)


def _training(setup: "Setup", recipe: Mapping[str, Any]) -> str:
    """What a fit to single states does in a line; of the other modes what decides, a line each."""
    train = setup.train
    if train.cn_mode == "offline":
        return (
            f"{train.nn_epochs} epochs of {len(setup.samples.train) // train.nn_batch} steps of {train.nn_batch} samples, "
            f"noise {train.rn_noise:g}, restored in {train.rn_restore:g} s"
        )
    facts = artefact.mode_facts(train, recipe)
    if "epochs" in facts:
        facts["epochs"] += f" of {setup.steps // train.nn_epochs} steps of {train.nn_batch} windows"
    return "\n  ".join([facts.pop("mode"), *(f"{key}: {value}" for key, value in facts.items())])


def restore_warnings(train: NamTrain, window: float) -> list[str]:
    """Where a target per window [s] is asked to take a perturbation back more than once."""
    pairs = (("rn_noise", "rn_restore", "noise"), ("rn_amplify", "rn_amplify_restore", "stretching"))
    return [
        f"warning: {key} = {time:g} s is shorter than the window of {window:g} s: the target takes the {what} back "
        f"{window / time:.3g} times in one window (R2 of temperature was -0.88 with 3600 s and windows of 5 days).\n"
        f"  {train.where(key)}. Set it to one window or more, or {amount} = 0."
        for amount, key, what in pairs
        if getattr(train, amount) > 0 and 0 < (time := getattr(train, key)) < window
    ]


def finish(setup: "Setup", folder: Path, recipe: dict[str, Any], console: Console) -> None:
    """Scores, artefacts and their card."""
    train, samples = setup.train, setup.samples
    # In channels last torch.export would fix the number of samples.
    network = setup.network.eval().cpu().to(memory_format=torch.contiguous_format)
    units = "per window" if setup.seasons else "m s-2"
    with threads(train):
        padding, fitted = setup.views[0].padding.cpu(), network.fitted

        def called(inputs: torch.Tensor) -> torch.Tensor:
            return fitted(padding(inputs)) if fitted is not None else torch.zeros(len(inputs), *samples.wet.shape)

        found, more, facts = scores.scores(called, samples), "", artefact.trained_on(train, samples, recipe)
        target = artefact.PLAIN
        if train.ln_damp and "validation" in found:
            _damp(network, found["validation"], train, console)
            found = scores.scores(called, samples)
        if setup.seasons is not None:
            facts |= setup.seasons.facts
        if setup.emulator is not None:
            fitted_to = checkpoint.read(folder / FILE)["scores"]
            errors = ", ".join(f"{name} {one['change']:.3f}" for name, one in fitted_to.items())
            facts["emulator's error"] = f"from one call to the next, persistence 1: {errors}"
        console.print(scores.table(found, units))
        document: dict[str, Any] = scores.document(found)
        if setup.seasons is not None:
            parts = explained.explained(called, samples, setup.seasons)
            console.print(explained.table(parts))
            network.facts["explained"] = explained.entry(parts, samples)
            document["explained"] = explained.document(parts)
            more = explained.section(parts, samples, setup.seasons, network.coefficients)
            target = "p is the state-dependent part of the answer, y the increment less its climatology"
        out = artefact.place(train, folder)
        files = artefact.write(network, train, setup.statistics, facts, out)
    replace(folder / "statistics.json", setup.statistics.to_json().encode())
    replace(out / "scores.json", json.dumps(document, indent=1).encode())
    card = artefact.card(network, train, samples, facts, found, files, config_file(folder), units, more, target)
    replace(out / "README.md", card.encode())
    for path in files:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        console.print(f"{path}  {path.stat().st_size} bytes  cn_sha256 = '{digest}'", highlight=False, soft_wrap=True)


def damping(validation: list[Score]) -> list[float]:
    """R2 about zero of each output, between 0 and 1; 0 where it is no number."""
    return [min(one.r2_zero, 1.0) if one.r2_zero > 0 else 0.0 for one in validation]


def _damp(network: Trainable, validation: list[Score], train: NamTrain, console: Console) -> None:
    """Multiply each output by its factor of `damping` and note it; warn of zeros."""
    factors = damping(validation)
    if isinstance(network.fitted, State):
        if lost := [f"{one.output} {one.r2_zero:.3f}" for one in validation if not one.r2_zero > 0]:
            console.print(
                "warning: ln_damp: the state-dependent part of these outputs is damped to 0, its R2 on the validation part is not "
                f"above 0: {', '.join(lost)}. Only the climatology is left of them.\n  {train.where('ln_damp')}. Longer records, "
                "less noise (rn_noise) or a longer rn_restore may help; or leave them out of cn_outputs.",
                highlight=False,
                soft_wrap=True,
            )
        network.fitted.damp(torch.tensor(factors))
        network.coefficients |= {f"damp_{one.output}": value for one, value in zip(validation, factors, strict=True)}

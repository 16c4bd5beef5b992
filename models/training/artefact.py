"""What a training leaves: artefacts with their contract, and the draft of a card."""

import hashlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from coupler.errors import HaloclineError
from models import export
from models.data import store
from models.data.statistics import Statistics
from models.families import trainable
from models.families.trainable import Trainable
from models.settings import NamTrain, load
from models.training import mom6
from models.training.samples import Samples
from models.training.scores import Score

FORMATS = ("onnx", "pt2", "mom6")
DTYPE = "f4"
STATIC = {"mig": "mig (global column)", "mjg": "mjg (global row)"}
PLAIN = "p is the answer of the network, y the target"
FACTS = {  # keys of the contract in words
    "sha256": "sha256 of the fields and masks that were read",
    "resolution": "grid spacing",
    "samples": "samples (states)",
    "increments": "how the increments were made",
    "running mean": "running mean of the target",
}


def trained_on(train: NamTrain, samples: Samples, recipe: Mapping[str, Any]) -> dict[str, str]:
    """The contract's record: data, code and recipe."""
    return {
        "data": ", ".join(Path(name).stem for name in train.cn_data),
        "sha256": samples.digest,
        "resolution": f"{samples.spacing / 1000:g} km",
        "samples": f"{len(samples.train)} to train, {len(samples.val)} to validate, {len(samples.test)} to test",
        "target": train.cn_target,
        "code": f"halocline {version('halocline')} {store.provenance({})['revision']}".strip(),
        "seed": str(train.nn_seed),
        **mode_facts(train, recipe),
    }


def mode_facts(train: NamTrain, recipe: Mapping[str, Any]) -> dict[str, str]:
    """How the weights came about: the mode, and the switches of its groups that decide. recipe: all of them, as in a checkpoint."""
    offline = {
        "noise": _perturbed(train.rn_noise, train.rn_restore, "std of the inputs"),
        "stretching": _perturbed(train.rn_amplify, train.rn_amplify_restore, "of departures from the mean state"),
    }
    epochs = {"epochs": str(train.nn_epochs)}
    if train.cn_mode == "offline":
        return {"mode": "offline, single states", **epochs, "loss": train.cn_loss, **offline}
    begun = str(recipe["cn_start"]).replace("{seed}", str(train.nn_seed))
    ocean = Path(recipe["cn_ocean"])
    common = {
        "ocean": ocean.parent.name if ocean.name == "namelist_cfg" else ocean.name,
        "start": Path(begun).name if begun else "fresh weights",
    }
    if train.cn_mode == "online":
        cut, share = recipe["nn_cut"], recipe["rn_offline"]
        on_start = recipe["rn_start_noise"]
        return {
            "mode": "online, along trajectories of the differentiable twin",
            **common,
            **epochs,
            "windows": f"{recipe['nn_window_min']} to {recipe['nn_window']} steps, doubled every {recipe['nn_grow']} epochs; "
            f"the network called every {recipe['nn_every']}",
            "gradient": f"cut after {cut} steps" if cut else "through the whole window",
            "loss": "errors along the window: "
            + _weights(recipe, "")
            + (f", single states x {share:g}" if share else ""),
            **({"noise on the first state of a window": f"{on_start:g} std"} if on_start else {}),
            **(offline if share else {} if on_start else {"noise": "none"}),
        }
    versions = -(-recipe["nn_windows"] // recipe["nn_swap"])
    windows = f"{recipe['nn_windows']} of {recipe['rn_window'] / 86400:g} days, {versions} versions of the weights"
    common |= {"windows": f"{windows}; {recipe['rn_gain']:g} of the error is put into the ocean at a window's end"}
    if train.cn_mode == "rollout_nograd":
        clip = f", at most {recipe['rn_clip']:g} rms of the target" if recipe["rn_clip"] else ""
        share = recipe["rn_offline"]
        return {
            "mode": "rollout_nograd, beside the running ocean, without a gradient through it",
            **common,
            "corrections": f"{recipe['rn_correct']:g} x (truth - background) / window{clip}"
            if recipe["rn_correct"]
            else "none: the network's own answers are its targets",
            "offline samples": f"{share:g} of each batch, with noise and stretching" if share else "none",
            "loss": train.cn_loss,
            **(offline if share else {"noise": "none"}),
        }
    adjoint = "namadjoint "
    if train.cn_mode == "emulator":
        net = "namemulator "
        kernels = ", ".join(map(str, recipe[f"{net}nn_kernels"]))
        way = {
            "mode": "emulator, along the running ocean's trajectories, gradient through an emulator of its step",
            "emulator": f"width {recipe[f'{net}nn_width']}, kernels {kernels}; {recipe[f'{net}nn_windows']} windows of the ocean "
            f"alone, {recipe[f'{net}nn_refit']} steps on visited states with each version",
        }
    else:
        damp, radius = recipe[f"{adjoint}rn_damp"], recipe[f"{adjoint}rn_radius"]
        way = {
            "mode": "adjoint_approx, along the running ocean's trajectories, approximate adjoint",
            "adjoint": "identity"
            + (f", damped in {damp:g} s" if damp else "")
            + (f", of a force what is in balance at a deformation radius of {radius:g} m" if radius else ""),
        }
    cut = recipe[f"{adjoint}nn_cut"]
    gradient = f"cut after {cut} calls of the network" if cut else "through the whole window"
    share = recipe.get(f"{adjoint}rn_offline", 0.0)
    loss = (
        "errors at the window's end: " + _weights(recipe, adjoint) + (f", single states x {share:g}" if share else "")
    )
    return {**way, **common, "gradient": gradient, "loss": loss, **(offline if share else {"noise": "none"})}


def place(train: NamTrain, folder: Path) -> Path:
    """The folder of the artefact, made: cn_out, or the run's `folder`. HaloclineError where it cannot be made."""
    out = Path(train.cn_out) if train.cn_out else folder
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HaloclineError(
            f"cannot make {out}: {error.strerror}.\n  {train.where('cn_out')}. Name a folder that can be written, or leave it out."
        ) from None
    return out


def write(network: Trainable, train: NamTrain, numbers: Statistics, facts: dict[str, str], out: Path) -> list[Path]:
    """NAME.onnx, NAME.pt2, NAME.nc in `out`; radius and decomposition measured, each loaded and self-tested.

    HaloclineError where the measurement contradicts the contract; no file then appears.
    """
    formats = [name for name in train.cn_formats if name != "mom6"]
    files = []
    with tempfile.TemporaryDirectory(dir=out, prefix=".export") as folder:
        made: list[Path] = []
        if formats:
            contract = partial(trainable.contract, network, train, numbers, facts)
            made += export.write(lambda dtype: (network, contract(dtype)), Path(folder), (DTYPE,), formats)
        if "mom6" in train.cn_formats:
            made.append(mom6.write(network, Path(folder) / f"{train.cn_name}.nc"))
        for path in made:
            target = out / f"{train.cn_name}{path.suffix}"
            try:
                os.replace(path, target)
            except OSError as error:
                raise HaloclineError(f"cannot write {target}: {error.strerror}. Make room, then run again.") from None
            files.append(target)
    return files


def card(
    network: Trainable,
    train: NamTrain,
    samples: Samples,
    facts: Mapping[str, str],
    found: Mapping[str, list[Score]],
    files: Sequence[Path],
    namelist: Path,
    units: str = "m s-2",
    more: str = "",
    target: str = PLAIN,
) -> str:
    """README.md of the artefact: what is known when the training ends; online scores are still to come.

    more: a section; target: what p and y are, in words.
    """
    count = sum(weight.numel() for weight in network.parameters())
    read = {spec.name for spec in network.inputs}
    reads = ", ".join(str(channel) for channel in samples.channels if channel.name in read) or "no state"
    static = ", ".join(STATIC.get(spec.name, spec.name) for spec in network.inputs if spec.static)
    scalars = f"; one number for all cells: {', '.join(network.scalars)}" if network.scalars else ""
    given = {
        str(channel): spec.units for spec in network.outputs for channel in samples.outputs if channel.name == spec.name
    }
    returns = ", ".join(f"{channel} [{unit}]" for channel, unit in given.items())
    per = " per window" if network.facts.get("window") else ""
    levels = " A number behind a name is a level, 1 at the surface." if samples.levels > 1 else ""
    kept = [f"`{spec.name}`" for spec in network.outputs if spec.conserve != "none"]
    conserved = (
        f"\nThe runtime takes the mean over the domain out of {' and '.join(kept)}, level by level." if kept else ""
    )
    own = (load(namelist, NamTrain) or [train])[0]
    seeded = f", with `--seed {train.nn_seed}`" if (own.nn_seed, own.cn_name) != (train.nn_seed, train.cn_name) else ""
    rows = [
        f"| {part} | {one.output} | {one.r2_zero:.3f} | {one.r2_mean:.3f} | {one.correlation:.3f} | {one.rms_target:.2e} |"
        for part, parts in found.items()
        for one in parts
    ]
    facts_text = "\n".join(f"| {FACTS.get(key, key)} | {value} |" for key, value in facts.items())
    sums = "\n".join(f"| `{path.name}` | `{hashlib.sha256(path.read_bytes()).hexdigest()}` |" for path in files)
    return f"""# {train.cn_name}

A network of the family `{network.family}`: {count} weights, radius {network.radius} cells.

- reads {reads}; constant in time: {static}{scalars}
- returns {returns}{per}

{levels.strip()}{conserved}

| file | sha256 (`cn_sha256` of `&namnet`) |
|---|---|
{sums}

## Trained on

| what | value |
|---|---|
{facts_text}

The parts are blocks of time with {samples.gap / 86400:.3g} days left out between them.

## Offline

R2 about zero is 1 - <(p - y)^2>/<y^2>, about the mean 1 - <(p - y)^2>/<(y - <y>)^2>, over samples and wet points, without noise;
{target}. 1 is perfect; 0 is as good as saying nothing, below it is worse.

| part | output | R2 about zero | R2 about the mean | correlation | rms of target [{units}] |
|---|---|---|---|---|---|
{chr(10).join(rows)}
{more}
Offline skill does not tell online skill.

## Online

Not scored yet. Run the ocean with and without it (`halocline run`), then compare both with the truth (`halocline evaluate`).

## The namelist that made it{seeded}

```fortran
{namelist.read_text(encoding="utf-8").strip()}
```
"""


def _weights(recipe: Mapping[str, Any], group: str) -> str:
    """Weights of a loss along a trajectory."""
    parts = {"states": "rn_state", "energy": "rn_energy", "spectra": "rn_spectra"}
    shown = [f"{name} x {recipe[group + key]:g}" for name, key in parts.items() if recipe[group + key]]
    return ", ".join(shown)


def _perturbed(amplitude: float, time: float, of: str) -> str:
    if not amplitude:
        return "none"
    back = f"which the target takes back in {time:g} s" if time else "which the target ignores"
    return f"up to {amplitude:g} {of}, {back}"

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
        "epochs": str(train.nn_epochs),
        "loss": train.cn_loss,
        "noise": _perturbed(train.rn_noise, train.rn_restore, "std of the inputs"),
        "stretching": _perturbed(train.rn_amplify, train.rn_amplify_restore, "of departures from the mean state"),
    }


def write(network: Trainable, train: NamTrain, numbers: Statistics, facts: dict[str, str], out: Path) -> list[Path]:
    """NAME.onnx, NAME.pt2, NAME.nc in `out`; radius and decomposition measured, each loaded and self-tested.

    HaloclineError where the measurement contradicts the contract; no file then appears.
    """
    out.mkdir(parents=True, exist_ok=True)
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


def _perturbed(amplitude: float, time: float, of: str) -> str:
    if not amplitude:
        return "none"
    back = f"which the target takes back in {time:g} s" if time else "which the target ignores"
    return f"up to {amplitude:g} {of}, {back}"

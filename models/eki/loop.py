"""`halocline train` with cn_mode = 'eki': ensembles of runs, an update after each, and what is left in the end."""

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from scipy.stats import norm, qmc

from coupler.errors import HaloclineError
from coupler.namelist import read_groups
from coupler.settings import config_file
from models.console import console as open_console
from models.data import store
from models.eki import card, log
from models.eki.files import replace
from models.eki.log import WHOLE, Iteration
from models.eki.members import Ensemble, Member, starts
from models.eki.observed import observation
from models.eki.parameters import Parameter, prior, values
from models.eki.update import misfit, step, with_survivors
from models.ended import ended_by_sigterm
from models.settings import GROUPS, NamEki, NamTrain, load
from models.training.folder import run_folder

if TYPE_CHECKING:
    from models.training.history import Scalars

CHECKPOINT = "eki.json"
FREE = ("nn_jobs", "cn_exe", "rn_judge", "cn_test", "cn_conventional")  # may change when an inversion goes on
DRAW, STARTS, UPDATE = 0, 1, 2  # streams of random numbers of an iteration


def invert(
    cfg: Path,
    rundir: Path | None = None,
    overwrite: bool = False,
    console: Console | None = None,
    seed: int | None = None,
) -> Path:
    """Fit the switches of &nameki; returns the run folder, runs/NAME of CFG where none is given. seed: in place of nn_seed.

    An inversion that was interrupted goes on: members that have run are kept, and the result is the same. HaloclineError for
    mistakes in namelist and data, and where fewer than half of the members come through.
    """
    console = console or open_console()
    train, eki = _settings(cfg)
    if seed is not None:
        train = train.model_copy(update={"nn_seed": seed, "cn_name": f"{train.cn_name}_s{seed}"})
        rundir = rundir or Path("runs") / train.cn_name
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise HaloclineError(
            "cn_mode = 'eki' runs in one process, without torchrun; nn_jobs runs members side by side."
        )
    parameters, seen = prior(eki), observation(eki)
    card.check(eki)
    if eki.rn_judge:
        card.skipped(cfg, eki)
    starts(eki, np.random.default_rng(0))  # a restart that is not there is told before anything is written
    folder = run_folder(cfg, rundir, overwrite, f"an inversion (no {CHECKPOINT})", CHECKPOINT, "nameki")
    recipe = _recipe(train, eki)
    kept = _checkpoint(folder, recipe)
    replace(folder / "namelist_cfg", config_file(cfg).read_bytes())
    ensemble = Ensemble.of(eki, parameters, seen, folder)
    console.print(
        f"{train.cn_name}: {len(parameters)} switches, {eki.nn_members} members, {eki.nn_iterations} updates at most; "
        f"{sum(seen.sizes)} numbers ({', '.join(seen.names)}) of {seen.blocks} blocks of {seen.days:g} days",
        highlight=False,
        soft_wrap=True,
    )
    with ended_by_sigterm(), log.board(folder, train) as shown:
        iterations = _iterate(ensemble, train.nn_seed, recipe, kept, shown, console)
        card.leave(cfg, train, ensemble, iterations, console)
    for name in ("runs", "starts"):
        shutil.rmtree(folder / name, ignore_errors=True)
    return folder


def _settings(cfg: Path) -> tuple[NamTrain, NamEki]:
    """&namtrain and &nameki of CFG. HaloclineError where one is missing, or no ocean is named."""
    groups = load(cfg, NamTrain), load(cfg, NamEki)
    if not all(groups):
        raise HaloclineError(
            f"{config_file(cfg)} needs &namtrain (cn_name, cn_mode = 'eki', nn_seed) and &nameki (ocean, switches, truth)."
        )
    train, eki = groups[0][0], groups[1][0]
    if not eki.cn_ocean:
        raise HaloclineError(
            f"cn_mode = 'eki' needs an ocean that runs: cn_ocean is empty.\n  {eki.where('cn_ocean')}. Name a configuration, "
            "namelists/gyre_coarse for example."
        )
    return train, eki


def _iterate(
    ensemble: Ensemble,
    seed: int,
    recipe: dict[str, Any],
    kept: list[np.ndarray],
    shown: "Scalars | None",
    console: Console,
) -> list[Iteration]:
    """Every ensemble with its results. kept: members (members, p) of the iterations that an earlier call has come to.

    shown: TensorBoard, of `log.board`.
    """
    eki, seen, parameters = ensemble.eki, ensemble.observation, ensemble.parameters
    shutil.rmtree(ensemble.folder / "runs", ignore_errors=True)  # of a call that was killed
    y = seen.whitened(seen.mean)
    xs, found, done = kept or [first(parameters, eki.nn_members, seed)], [], 0.0
    for number in range(eki.nn_iterations + 1):
        x = xs[number]
        _save(ensemble.folder, recipe, xs)
        begins = starts(eki, np.random.default_rng([seed, number, STARTS]))
        members = [
            Member(number, n, tuple(values(parameters, one)), begin)
            for n, (one, begin) in enumerate(zip(x, begins, strict=True))
        ]
        results = ensemble.run(members, console)
        g = np.array([one["statistics"] or np.full(len(y), np.nan) for one in results], float)
        phi = misfit(seen.whitened(g), y)
        alive = np.isfinite(phi)
        h, last = 0.0, number == eki.nn_iterations or done >= WHOLE
        if not last and 2 * alive.sum() >= len(x):
            h = step(phi[alive], len(y), done) if eki.cn_step == "misfit" else 1.0 / eki.nn_iterations
        found.append(Iteration(number, x, results, 2 * phi / len(y), h, done))
        log.write(ensemble.folder, found, seen)
        if alive.any():
            log.say(found[-1], parameters, eki.nn_iterations, console)
            log.draw(ensemble.folder, found, parameters)
            if shown is not None:
                shown(number, **log.summary(found[-1], parameters, seen))
        if last:
            break
        rng = np.random.default_rng([seed, number, UPDATE])
        try:
            moved = with_survivors(x, seen.whitened(g), alive, y, h, eki.cn_update, rng)
        except HaloclineError as error:
            raise HaloclineError(
                f"iteration {number}: {error}\n  {eki.where('rn_first')}; {ensemble.folder / log.HISTORY}."
            ) from None
        if len(xs) == number + 1:
            xs.append(moved)
        done += h
    return found


def first(parameters: Sequence[Parameter], members: int, seed: int) -> np.ndarray:
    """The first ensemble (members, p): independent Gaussians, as a Latin hypercube (each of `members` parts once)."""
    drawn = qmc.LatinHypercube(len(parameters), rng=np.random.default_rng([seed, 0, DRAW])).random(members)
    return np.array([one.first for one in parameters]) + np.array([one.spread for one in parameters]) * norm.ppf(drawn)


def _save(folder: Path, recipe: dict[str, Any], xs: list[np.ndarray]) -> None:
    document = {"recipe": recipe, "members": [x.tolist() for x in xs]}
    replace(folder / CHECKPOINT, json.dumps(document).encode())


def _checkpoint(folder: Path, recipe: dict[str, Any]) -> list[np.ndarray]:
    """The ensembles of an earlier call. HaloclineError for those of other switches or data."""
    path = folder / CHECKPOINT
    if not path.exists():
        return []
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        before, members = found["recipe"], [np.array(x, float) for x in found["members"]]
    except (ValueError, KeyError, TypeError):
        raise HaloclineError(
            f"{path} cannot be read as the state of an inversion. Remove it, or add --overwrite."
        ) from None
    differ = [key for key in recipe if before.get(key) != recipe[key]]
    if differ:
        lines = "\n".join(f"  {key}: {before.get(key)!r} there, {recipe[key]!r} now" for key in differ)
        raise HaloclineError(
            f"{path} belongs to another inversion:\n{lines}\n  Give another folder with --rundir, or add --overwrite to begin anew."
        )
    return members


def _recipe(train: NamTrain, eki: NamEki) -> dict[str, Any]:
    """Switches, ocean and data that decide the result, as plain values. Steps by the misfit may get more iterations later."""
    free = FREE + (("nn_iterations",) if eki.cn_step == "misfit" else ())
    own = [group.text for group in read_groups(config_file(Path(eki.cn_ocean))) if group.name not in GROUPS]
    digest = hashlib.sha256()
    for name in eki.cn_truth:
        data = store.read(Path(name))
        digest.update(str(data.attrs.get("provenance")).encode() + data["time"].values.tobytes())
    return {
        "nn_seed": train.nn_seed,
        **{key: value for key, value in eki.model_dump().items() if key not in free},
        "ocean": hashlib.sha256("\n".join(own).encode()).hexdigest(),
        "restart": store.sha256(Path(eki.cn_restart)) if Path(eki.cn_restart).is_file() else "",
        "truth": digest.hexdigest(),
    }

"""What `halocline science online` compares: recipes of trainings, their seeds, and the runs of their networks."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coupler.errors import HaloclineError
from coupler.namelist import read_groups
from coupler.settings import config_file
from models.campaign import runs
from models.campaign.matrix import Row
from models.settings import NamOnline, NamRollout, NamTrain, load
from models.training.cost import Cost, of_training

DESIGNS = {  # folder below namelists/: in words
    "gyre_online_start": "single states, no noise",
    "gyre_train": "single states with noise and stretching: the recipe of the shipped closure",
    "gyre_rollout": "beside the running ocean",
    "gyre_rollout_control": "the same without the correction (rn_correct = 0)",
    "gyre_online": "along trajectories of the differentiable twin",
    "gyre_rollout_tuned": "beside the running ocean, begun from the shipped recipe",
    "gyre_adjoint_tuned": "along the running ocean's trajectories, approximate adjoint, begun from the shipped recipe",
    "gyre_emulator_tuned": "along the running ocean's trajectories, Jacobian of an emulator, begun from the shipped recipe",
    "gyre_online_tuned": "along trajectories of the twin, begun from the shipped recipe",
    "gyre_adjoint_states": "as gyre_adjoint_tuned, without its energy term",
    "gyre_emulator_states": "as gyre_emulator_tuned, without its energy term",
    "gyre_online_states": "as gyre_online_tuned, without its energy term",
    "gyre_online_long": "as gyre_online_states, windows of 10 and 20 days",
    "gyre_online_long_mild": "as gyre_online_long, with some of the energy term (rn_energy = 3)",
    "gyre_online_long_energy": "as gyre_online_tuned, windows of 10 and 20 days",
}
NAMELISTS = tuple(runs.NAMELISTS / name for name in DESIGNS)
FREE = {
    "cn_device",
    "nn_threads",
    "cn_log",
    "cn_formats",
    "cn_out",
    "cn_data",
    "cn_exe",
    "ln_compile",
    "cn_artefact",  # set by the training itself
}  # weights are the same


@dataclass(frozen=True)
class Design:
    """A recipe, of which every seed is a training. start: run folder whose weights it begins from, with '{seed}', or ''."""

    cfg: Path
    name: str
    mode: str
    words: str
    start: str
    threads: int


@dataclass(frozen=True)
class Training:
    """One seed of a recipe: its folder and artefact. missing: why there is no network, '' where there is one."""

    design: Design
    seed: int
    folder: Path
    missing: str = ""

    @property
    def label(self) -> str:
        """NAME_sSEED."""
        return f"{self.design.name}_s{self.seed}"

    @property
    def artefact(self) -> Path:
        """The network's file."""
        return self.folder / f"{self.label}.onnx"

    @property
    def start(self) -> str:
        """Name of the training that this one began from, ''."""
        return Path(self.design.start.replace("{seed}", str(self.seed))).name if self.design.start else ""


@dataclass(frozen=True)
class Plan:
    """What is asked for. trainings: folder of NAME_sSEED; starts: initial states, a run from each; every: steps between calls."""

    campaign: runs.Campaign
    designs: Sequence[Design]
    trainings: Path
    seeds: int = 3
    years: int = 20
    starts: int = 1
    every: int = 3
    jobs: int = 1

    def of(self, design: Design) -> list[Training]:
        """The trainings of a recipe, with what they lack now."""
        found = []
        for seed in range(1, self.seeds + 1):
            training = Training(design, seed, self.trainings / f"{design.name}_s{seed}")
            found.append(Training(design, seed, training.folder, lacks(training)))
        return found

    def rows(self, training: Training) -> list[tuple[Row, dict[str, Any]]]:
        """The runs of a network under the wind of the training data, and what each is."""
        name, planned = f"{training.label} every {self.every}", []
        for start in range(1, self.starts + 1):
            row = Row(
                name if start == 1 else f"{name}, start {start}", "network", artefact=training.artefact, every=self.every,
                start=start, years=self.years,
            )  # fmt: skip
            planned.append((row, {"design": training.design.name, "seed": training.seed, "start_state": start}))
        return planned


def design(cfg: Path) -> Design:
    """The recipe of a namelist. HaloclineError where it has no &namtrain, or fits no network that runs in the coupled ocean."""
    groups = load(cfg, NamTrain)
    if not groups:
        raise HaloclineError(f"{config_file(cfg)} has no group &namtrain: it is no recipe of a training.")
    train = groups[0]
    if train.cn_target == "increment" or "onnx" not in train.cn_formats:
        raise HaloclineError(
            f"{config_file(cfg)}: cn_target = '{train.cn_target}', cn_formats = {', '.join(train.cn_formats)}; closures of "
            "momentum are compared here, which are exported as 'onnx'.\n"
            f"  {train.where('cn_target')}. For bias corrections there is `halocline science bias`."
        )
    starts = [
        *(group.cn_start for group in load(cfg, NamOnline)),
        *(group.cn_start for group in load(cfg, NamRollout)),
    ]
    start = next((text for text in starts if text), "") if train.cn_mode != "offline" else ""
    folder = config_file(cfg).resolve().parent.name
    return Design(cfg, train.cn_name, train.cn_mode, DESIGNS.get(folder, folder), start, train.nn_threads or 1)


def lacks(training: Training) -> str:
    """Why a training has no network of this recipe: not begun, not ended, another namelist; '' where it has one."""
    folder = training.folder
    if not (folder / "namelist_cfg").is_file():
        return "not trained"
    theirs, mine = (_recipe(config_file(path)) for path in (folder, training.design.cfg))
    if differ := sorted(key for key in theirs.keys() | mine.keys() if theirs.get(key) != mine.get(key)):
        shown = ", ".join(f"{key} {theirs.get(key)!r} there, {mine.get(key)!r} now" for key in differ[:3])
        return f"trained with another namelist ({shown})"
    ended = training.artefact.is_file() and (folder / "scores.json").is_file()
    return "" if ended else "training not ended"


def _recipe(path: Path) -> dict[str, Any]:
    """Switches by 'group.switch'; of groups that stand several times with their number."""
    found: dict[str, Any] = {}
    seen: dict[str, int] = {}
    for group in read_groups(path):
        seen[group.name] = seen.get(group.name, 0) + 1
        place = group.name if seen[group.name] == 1 else f"{group.name} {seen[group.name]}"
        found |= {f"{place}.{key}": value for key, value in group.values().items() if key not in FREE}
    return found


def described(training: Training, every: Mapping[str, Training]) -> dict[str, Any]:
    """What the table tells of a training: offline R2 about zero on the test part, cost with that of its start, hashes.

    every: the trainings of the plan by label, among which the start is looked for; one that is not there has no known cost.
    """
    document = json.loads((training.folder / "scores.json").read_text(encoding="utf-8"))
    part = document.get("test") or document["validation"]
    offline = {one["output"]: one["r2_zero"] for one in part}
    own, start = of_training(training.folder, training.design.threads), every.get(training.start)
    first = Cost(0.0, "cpu")
    if training.start:
        first = Cost(float("nan"), "") if start is None else of_training(start.folder, start.design.threads)
    return {
        "training": training.label,
        "design": training.design.name,
        "seed": training.seed,
        "began_from": training.start,
        "offline": offline,
        "offline_mean": sum(offline.values()) / len(offline),
        "core_minutes": own.core_minutes + first.core_minutes,
        "own_core_minutes": own.core_minutes,
        "cost_from": "cpu" if {own.how, first.how} == {"cpu"} else "wall" if own.how and first.how else "",
        "killed_starts": own.lost + first.lost,
        "sha256": runs.sha256(training.artefact),
        "namelist_sha256": runs.sha256(training.folder / "namelist_cfg"),
    }

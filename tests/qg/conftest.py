"""A tiny truth, in which trainings take a second."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console

from models.qg import train, truth
from models.qg.records import Records

SWITCHES = {
    "namqg": {
        "cn_regime": "'eddy'",
        "nn_fine": "32",
        "nn_coarse": "16",
        "rn_spinup": "240.",
        "rn_adapt": "60.",
        "rn_days": "20.",
        "nn_train": "2",
        "nn_apart": "4",
        "nn_rollout": "5",
        "nn_starts": "4",
        "rn_climate": "10.",
        "rn_drop": "2.",
        "nn_climate": "2",
        "nn_offline_epochs": "3",
    },
    "namtrain": {
        "cn_name": "'tiny'",
        "cn_mode": "'online'",
        "nn_width": "6",
        "nn_kernels": "3, 3",
        "nn_epochs": "3",
        "nn_batch": "4",
        "rn_lr": "1.e-3",
        "rn_ema": "0.9",
        "nn_threads": "1",
    },
    "namonline": {"nn_window_min": "2", "nn_window": "4", "nn_grow": "1"},
}
QUIET = Console(quiet=True)


@dataclass(frozen=True)
class Place:
    """A folder with a truth in `data`."""

    folder: Path

    def cfg(self, name: str, **changes: str) -> Path:
        """A namelist with switches changed, as namqg_nn_coarse="8"."""
        folder, groups = self.folder / name, {group: dict(switches) for group, switches in SWITCHES.items()}
        for key, value in changes.items():
            group, _, switch = key.partition("_")
            groups[group][switch] = value
        folder.mkdir(exist_ok=True)
        lines = [
            f"&{group}\n" + "".join(f"   {switch} = {value}\n" for switch, value in switches.items()) + "/\n"
            for group, switches in groups.items()
        ]
        (folder / "namelist_cfg").write_text("".join(lines))
        return folder

    def plan(self, cfg: Path, out: str = "data", **options) -> train.Plan:
        """The training of `cfg` in a folder of its own, on the truth in `data`."""
        todo = train.plan(cfg, self.folder / out, **options)
        group = todo.group.model_copy(update={"cn_data": str(self.folder / "data" / truth.NAME)})
        return train.Plan(group, todo.train, todo.online, todo.out)

    def fit(self, cfg: Path, out: str, **options) -> Path:
        return train.fit(self.plan(cfg, out, **options), cfg, console=QUIET)

    def records(self, cfg: Path) -> Records:
        todo = self.plan(cfg)
        return Records(truth.read(todo.group, todo.out), todo.group)


@pytest.fixture(scope="session")
def place(tmp_path_factory) -> Place:
    place = Place(tmp_path_factory.mktemp("qg"))
    truth.make(place.cfg("cfg"), place.folder / "data", QUIET)
    return place

"""The run folder of a training: empty, or one in which a training of this kind has begun."""

import shutil
from pathlib import Path

from coupler.errors import HaloclineError
from coupler.namelist import read_groups
from coupler.settings import config_file


def run_folder(cfg: Path, rundir: Path | None, overwrite: bool, kind: str, mark: str, group: str) -> Path:
    """RUNDIR, or runs/NAME of CFG, made where it is not there, emptied with `overwrite`.

    kind: what it is the folder of, and how that is seen, in words; mark: a file of it; group: a group of its namelist_cfg, for a
    training that was killed before its first checkpoint (an ocean's run folder has a namelist_cfg, too). HaloclineError for CFG
    itself, and for a folder with anything else in it.
    """
    namelist = config_file(cfg)
    folder = (rundir or Path("runs") / namelist.resolve().parent.name).resolve()
    if folder == namelist.resolve().parent:
        raise HaloclineError(f"the run folder {folder} is the configuration itself. Give another one with --rundir.")
    if folder.exists() and any(folder.iterdir()):
        if not _begun(folder, mark, group):
            raise HaloclineError(
                f"{folder} is no folder of {kind}: what is there would be lost. Give another one with --rundir."
            )
        if overwrite:
            shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _begun(folder: Path, mark: str, group: str) -> bool:
    namelist = folder / "namelist_cfg"
    return (folder / mark).exists() or (namelist.is_file() and any(one.name == group for one in read_groups(namelist)))

"""Programs on PATH."""

import shutil
from pathlib import Path


def on_path(name: str) -> str | None:
    """The program's path, its folder without links: Open MPI takes /bin/mpirun to live in '/' and refuses. None: not there."""
    found = shutil.which(name)
    return found and str(Path(found).parent.resolve() / name)

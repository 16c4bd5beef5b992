"""Files that are whole or not there."""

import os
from pathlib import Path

from coupler.errors import HaloclineError


def replace(path: Path, content: bytes) -> None:
    """Write aside, then rename; HaloclineError when the disk refuses."""
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise HaloclineError(f"cannot write {path}: {error.strerror}. Make room, then run again: it goes on.") from None

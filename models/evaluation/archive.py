"""Files of arrays and a few words: .npz without any pickle, aside first, then renamed."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from coupler.errors import HaloclineError

FORMAT = 1
WORDS = "halocline_climate"


def write(path: Path, words: dict[str, Any], arrays: dict[str, np.ndarray]) -> Path:
    """Write arrays and words (what JSON can hold); returns the path. HaloclineError when the place cannot be written."""
    aside = path.with_name(path.name + ".part")
    head = np.array(json.dumps({"format": FORMAT, **words}))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **{WORDS: head}, **arrays)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise HaloclineError(f"cannot write {aside}: {error.strerror or error}.") from error
    return aside.replace(path)


def read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Words and arrays of a file. HaloclineError when it is missing, is something else, or of another format."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise HaloclineError(f"{path} cannot be read as a climate: {error}") from error
    if WORDS not in arrays:
        raise HaloclineError(
            f"{path} is no climate: it holds {', '.join(sorted(arrays)[:8])}.\n"
            "  halocline evaluate RUN --out DIR writes one for every run."
        )
    words = json.loads(str(arrays.pop(WORDS)))
    if words["format"] != FORMAT:
        raise HaloclineError(
            f"{path} has format {words['format']}, this version reads {FORMAT}. Make it anew from the run."
        )
    return words, arrays

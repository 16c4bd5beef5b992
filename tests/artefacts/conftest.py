"""The shipped artefact; the helpers of this folder are importable."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

ZOO = Path(__file__).resolve().parents[2] / "models" / "zoo"


@pytest.fixture(scope="session")
def zb20():
    """The shipped double-precision artefact."""
    from coupler.engines.base import load_engine

    return load_engine(ZOO / "zb20_f8.onnx")

"""The shipped artefact, and the published weights as artefacts; the helpers of this folder are importable."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

REPO = Path(__file__).resolve().parents[2]
ZOO = REPO / "models" / "zoo"
GZ21 = REPO.parent / "shared" / "data" / "gz21"


@pytest.fixture(scope="session")
def zb20():
    """The shipped double-precision artefact."""
    from coupler.engines.base import load_engine

    return load_engine(ZOO / "zb20_f8.onnx")


@pytest.fixture(scope="session")
def published():
    """The published file of weights."""
    path = GZ21 / "trained_model.pth"
    if not path.is_file():
        pytest.skip(f"the published weights are not there: {path}")
    return path


@pytest.fixture(scope="session")
def made(published, tmp_path_factory):
    """The published weights as an artefact of every format."""
    from models.export import import_weights

    out = tmp_path_factory.mktemp("gz21")
    files, ours = import_weights("gz21", published, out, ["f4"], ["onnx", "pt2", "pt"])
    assert ours
    return {path.suffix[1:]: path for path in files}

"""Maps of the bias: run minus truth, in their units, one colour scale for each field."""

from dataclasses import replace

import matplotlib.image
import numpy as np
import pytest

from coupler.errors import HaloclineError
from models.evaluation import bias_maps
from models.evaluation.climate import Climate
from models.evaluation.mesh import Mesh


def climate(name, shift=0.0, cells=8):
    mesh = Mesh.closed(cells, cells, 40000.0, (0.008, 0.008))
    empty = Climate.from_states([], mesh, name)
    maps = {key: np.zeros_like(values) + shift for key, values in empty.mean.items()}
    return replace(empty, states=1, mean=maps, variance=maps)


def test_a_bias_is_run_minus_truth_in_its_units():
    """Centimetres of sea surface, metres of thickness, kelvin; the other way round it would be negative."""
    found = bias_maps.biases(climate("run", 0.5), climate("truth"))
    assert [float(field[3, 3]) for field in found.values()] == [50.0, 0.5, 0.5]
    assert [float(field[3, 3]) for field in bias_maps.biases(climate("run"), climate("truth", 0.5)).values()] != [
        50.0, 0.5, 0.5
    ]  # fmt: skip


def test_the_maps_are_written_for_all_runs(tmp_path):
    out = bias_maps.draw([climate("free", 1.0), climate("+ network", 0.1)], climate("truth"), tmp_path / "bias.png")
    wide = bias_maps.draw([climate(str(n), 1.0) for n in range(4)], climate("truth"), tmp_path / "wide.png")
    image = matplotlib.image.imread(out)
    assert image.std() > 0.05 and matplotlib.image.imread(wide).shape[1] > image.shape[1]
    assert not list(tmp_path.glob("*.part"))


def test_other_grids_are_refused(tmp_path):
    with pytest.raises(HaloclineError, match="cannot be compared"):
        bias_maps.draw([climate("run", cells=10)], climate("truth"), tmp_path / "bias.png")
    assert not (tmp_path / "bias.png").exists()

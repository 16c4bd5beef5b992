"""The picture of a training shows what happened: R2 below zero, whole epochs."""

import math

import pytest
from matplotlib.figure import Figure

from models.training import history


def axes(monkeypatch, tmp_path, skill):
    """Loss and R2 axes of the picture of a training with these R2, one each epoch."""
    figures = []  # that are saved
    plain = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: (figures.append(self), plain(self, *a, **k)))
    rows = [
        {"epoch": n + 1.0, "loss": 1.0 / (n + 1), "val_loss": 2.0 / (n + 1), "val_r2": r2} for n, r2 in enumerate(skill)
    ]
    history.draw(rows, tmp_path / "learning.png")
    assert (tmp_path / "learning.png").stat().st_size > 5000
    return figures[0].axes


@pytest.mark.parametrize("skill", [[-0.4, -0.1, 0.2], [-30.0, -2.0, 0.1], [float("nan"), -0.2], [-0.3]])
def test_skill_below_zero_is_in_the_picture(monkeypatch, tmp_path, skill):
    """All that is a number; axes from zero, the twin, would hide the smallest."""
    low, high = axes(monkeypatch, tmp_path, skill)[1].get_ylim()
    values = [value for value in skill if not math.isnan(value)]
    assert all(low <= value <= high for value in values) and min(values) < 0
    assert high == 1


def test_skill_above_zero_keeps_its_axis(monkeypatch, tmp_path):
    """From 0 to 1, so that pictures of trainings can be laid beside each other."""
    assert axes(monkeypatch, tmp_path, [0.1, 0.5, 0.6])[1].get_ylim() == (0, 1)


def test_epochs_are_whole(monkeypatch, tmp_path):
    """Of a training of three epochs, where matplotlib's own choice, the twin, has halves."""
    plain = Figure().subplots()
    plain.plot([1, 2, 3], [1, 2, 3])
    drawn, own = (some.get_xticks() for some in (axes(monkeypatch, tmp_path, [0.1, 0.2, 0.3])[0], plain))
    assert all(tick == round(tick) for tick in drawn) and any(tick != round(tick) for tick in own)

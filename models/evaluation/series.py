"""How well the mean of a correlated series is known."""

import numpy as np

from models.data.splits import decorrelation_time


def standard_error(series: np.ndarray) -> float:
    """Standard error of the mean of a series (n,), regular in time: its standard deviation over sqrt(n / decorrelation time).

    Raises HaloclineError for a series from which no decorrelation time can be taken (models/data/splits.py).
    """
    values = np.asarray(series, float)
    return float(values.std() * np.sqrt(max(decorrelation_time(values), 1.0) / len(values)))


def bootstrap_interval(
    series: np.ndarray, block: int | None = None, level: float = 0.95, draws: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Confidence interval of the mean of a series (n,): blocks of `block` samples, drawn with replacement (round the end).

    block: the decorrelation time where None is given. Kuensch (1989); circular blocks: Politis & Romano (1992).
    """
    values = np.asarray(series, float)
    size = block or max(1, int(np.ceil(decorrelation_time(values))))
    count = -(-len(values) // size)
    starts = np.random.default_rng(seed).integers(0, len(values), (draws, count, 1))
    means = values[(starts + np.arange(size)) % len(values)].reshape(draws, -1)[:, : len(values)].mean(1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)

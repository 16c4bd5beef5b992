"""One step of ensemble Kalman inversion, in whitened units: the error of the observations has covariance 1.

x (members, p): parameters; g (members, d): what the runs gave, y (d,): what was observed, both divided by a square root of the
error's covariance. With misfit Phi_j = |y - g_j|^2 / 2 and a step h <= 1 the error's covariance is 1/h (tempering): steps that
sum to 1 lead a Gaussian prior through a linear model to its Gaussian posterior.

    K = C_xg (C_gg + 1/h)^-1                                     Kalman gain
    x_j <- x_j + K (y + xi_j / sqrt(h) - g_j), xi ~ N(0, 1)      perturbed: Iglesias, Law & Stuart (2013),
                                                                 doi:10.1088/0266-5611/29/4/045001
    mean <- mean + K (y - mean g)                                transform: Bishop, Etherton & Majumdar (2001),
    X <- (1 + h G G^T)^(-1/2) X                                  doi:10.1175/1520-0493(2001)129<0420:ASWTET>2.0.CO;2,
                                                                 tempered as in Huang et al. (2022),
                                                                 doi:10.1088/1361-6420/ac99fa
X, G: departures from the mean over sqrt(members - 1), one row for each member.
"""

import numpy as np

from coupler.errors import HaloclineError


def misfit(g: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Phi_j = |y - g_j|^2 / 2 of each member, (members,)."""
    return 0.5 * np.sum((y - g) ** 2, axis=-1)


def step(phi: np.ndarray, d: int, done: float) -> float:
    """Length of the next step by the misfits (members,), so that steps sum to at most 1; done: their sum so far.

    h = min(max(d / (2 mean Phi), sqrt(d / (2 var Phi))), 1 - done), Iglesias & Yang (2021), doi:10.1088/1361-6420/abd29b.
    """
    mean, spread = max(float(phi.mean()), 1e-300), max(float(phi.var(ddof=1)), 1e-300)
    return float(min(max(d / (2 * mean), np.sqrt(d / (2 * spread))), 1.0 - done))


def update(x: np.ndarray, g: np.ndarray, y: np.ndarray, h: float, method: str, rng: np.random.Generator) -> np.ndarray:
    """The members after a step of length h, (members, p), see above. method: 'perturbed' or 'transform'.

    The perturbations are centred, so that the mean of the members moves as the transform's does.
    """
    members = len(x)
    departures = (x - x.mean(0)) / np.sqrt(members - 1)
    outputs = (g - g.mean(0)) / np.sqrt(members - 1)
    inner = np.eye(members) + h * outputs @ outputs.T  # (1 + h G G^T): the gain in the space of the members
    if method == "perturbed":
        noise = rng.standard_normal(g.shape)
        residual = y + (noise - noise.mean(0)) / np.sqrt(h) - g
        return x + gained(residual, outputs, departures, inner, h)
    mean = x.mean(0) + gained(y - g.mean(0), outputs, departures, inner, h)
    values, vectors = np.linalg.eigh(inner)
    return mean + np.sqrt(members - 1) * ((vectors / np.sqrt(values)) @ vectors.T) @ departures


def gained(
    residual: np.ndarray, outputs: np.ndarray, departures: np.ndarray, inner: np.ndarray, h: float
) -> np.ndarray:
    """K residual = h X^T (1 + h G G^T)^-1 G residual, (..., d) to (..., p): the Woodbury form of the gain, members by members."""
    return h * np.linalg.solve(inner, outputs @ residual.T).T @ departures


def with_survivors(
    x: np.ndarray,
    g: np.ndarray,
    alive: np.ndarray,
    y: np.ndarray,
    h: float,
    method: str,
    rng: np.random.Generator,
) -> np.ndarray:
    """`update` of the members that came through; the others are drawn from the Gaussian of what these have become.

    Lopez-Gomez et al. (2022), doi:10.1029/2022MS003105. g of a failed member may hold anything. HaloclineError when fewer than
    half came through: their Gaussian would say little about where the model runs.
    """
    if 2 * alive.sum() < len(x):
        raise HaloclineError(
            f"{len(x) - alive.sum()} of {len(x)} members failed; at least half must come through.\n"
            "  Choose rn_first where the ocean is stable, or a smaller rn_spread, or shorten its time step (rn_Dt)."
        )
    moved = np.empty_like(x)
    moved[alive] = update(x[alive], g[alive], y, h, method, rng)
    if not alive.all():
        mean = moved[alive].mean(0)
        weights = rng.standard_normal(((~alive).sum(), alive.sum())) / np.sqrt(alive.sum() - 1)
        moved[~alive] = mean + weights @ (moved[alive] - mean)
    return moved

"""Random ocean fields for the closure."""

import numpy as np

METRICS = ("e1t", "e2t", "e1u", "e2u", "e1v", "e2v", "e1f", "e2f")


def ocean(levels: int, nj: int, ni: int, seed: int = 0, land: float = 0.2) -> dict[str, np.ndarray]:
    """Random fields, metrics and masks (k, nj + 4, ni + 4), in the order of the contract's inputs."""
    rng = np.random.default_rng(seed)
    shape = (levels, nj + 4, ni + 4)
    fields = {"u": rng.normal(size=shape), "v": rng.normal(size=shape), "h": rng.uniform(100, 500, shape)}
    fields |= {name: rng.uniform(3e4, 5e4, (1, *shape[1:])) for name in METRICS}
    fields["tmask"] = (rng.random((1, *shape[1:])) >= land).astype(float)
    fields["fmask"] = rng.choice([0.0, 1.0, 1.0, 2.0] if land else [1.0], size=(1, *shape[1:]))
    return fields

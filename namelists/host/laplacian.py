"""A network as a Python file: five-point Laplacian between wet cells, dt = 1e-6 s-1 * sum of differences."""

CONTRACT = {
    "name": "laplacian",
    "version": "1",
    "family": "example",
    "license": "MIT",
    "inputs": [
        {"name": "t", "units": "K", "point": "T", "fill": 280.0},
        {"name": "tmask", "units": "1", "point": "T", "levels": 1, "static": True},
    ],
    "outputs": [{"name": "dt", "units": "K s-1", "point": "T", "kind": "tendency", "mask": "tmask"}],
    "radius": 1,
    "dtype": "f8",
    "decomposition": "bitwise",
}


def run(inputs):
    """Return dt (k, J - 2, I - 2) [K s-1] from t (k, J, I) [K] and tmask (1, J, I), both padded by 1."""
    t, wet = inputs["t"], inputs["tmask"]
    centre = t[:, 1:-1, 1:-1]
    east = wet[:, 1:-1, 2:] * (t[:, 1:-1, 2:] - centre)
    west = wet[:, 1:-1, :-2] * (t[:, 1:-1, :-2] - centre)
    north = wet[:, 2:, 1:-1] * (t[:, 2:, 1:-1] - centre)
    south = wet[:, :-2, 1:-1] * (t[:, :-2, 1:-1] - centre)
    return {"dt": 1e-6 * (east + west + north + south)}

"""The receptive field of a network, measured."""

from collections.abc import Callable, Mapping

import numpy as np

Fields = Mapping[str, np.ndarray]


def measure_radius(
    call: Callable[[Fields], Fields], sample: Callable[[int], Fields], trials: int = 12
) -> tuple[int, int]:
    """(crop, reach) in cells: what the output lacks on each side, and how far an input value acts.

    `sample(seed)` gives padded inputs (k, J, I) on random wet masks. One cell of one input is changed, and the farthest
    output that changes in any bit is sought; masks, which no gradient reaches, are measured alike. Several seeds,
    since land hides part of the stencil. reach > crop means padding inside the network; reach < crop a halo too wide.
    """
    reach = crop = 0
    for seed in range(trials):
        inputs = sample(seed)
        before = call(inputs)
        rows, columns = next(iter(inputs.values())).shape[1:]
        crop = (rows - next(iter(before.values())).shape[1]) // 2
        j, i = rows // 2 + seed % 2, columns // 2 + seed // 2 % 2
        for name, field in inputs.items():
            changed = field.copy()
            changed[:, j, i] = np.where(field[:, j, i] == 0, 1.0, 0.0 if seed % 2 else 1.3 * field[:, j, i])
            after = call({**inputs, name: changed})
            for out, values in before.items():
                _, jj, ii = np.nonzero(values != after[out])
                far = np.maximum(abs(jj + crop - j), abs(ii + crop - i))
                reach = max(reach, int(far.max(initial=0)))
    return crop, reach

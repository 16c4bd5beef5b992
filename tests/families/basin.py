"""A closed basin with an island, random states in it, and networks on it as the runtime would feed them."""

import numpy as np
import torch

from models.data.statistics import Statistics
from models.families.trainable import Trainable, build
from models.settings import NamTrain

LEVELS, SPACING = 2, 40e3
METRICS = ("e1t", "e2t", "e1u", "e2u", "e1v", "e2v", "e1f", "e2f")


def statistics(levels=LEVELS):
    """As of a double gyre at 40 km."""
    mean = {"u": (0.0, 0.01), "v": (0.0, 0.0), "h": (500.0, 750.0), "sst": (15.0,), "ff_t": (7e-5,)}
    std = {"u": (0.1, 0.12), "v": (0.08, 0.05), "h": (80.0, 90.0), "sst": (3.0,), "ff_t": (1e-5,)}
    high = {"u": 1.0, "v": 1.0, "h": 900.0, "sst": 26.0, "ff_t": 9e-5, "du": 1e-5, "dv": 1e-5}
    low = {"u": -1.0, "v": -1.0, "h": 200.0, "sst": 4.0, "ff_t": 5e-5, "du": -1e-5, "dv": -1e-5}
    return Statistics(
        mean={name: values[:levels] for name, values in mean.items()},
        std={name: values[:levels] for name, values in std.items()},
        rms={"du": (7e-7, 2.4e-7)[:levels], "dv": (5.8e-7, 2.3e-7)[:levels]},
        low=low,
        high=high,
        p001={name: 0.9 * value if value < 0 else 1.1 * value for name, value in low.items()},
        p999={name: 0.9 * value for name, value in high.items()},
        rate=None,
        count=100,
    )


def settings(**switches):
    """&namtrain with small networks."""
    return NamTrain.model_validate({"cn_name": "tiny", "nn_width": 6, "nn_kernels": [3, 3], **switches})


def network(dtype=torch.float32, levels=LEVELS, **switches) -> Trainable:
    return build(settings(**switches), levels, statistics(levels), SPACING).to(dtype).eval()


def basin(nj=14, ni=11, levels=LEVELS, seed=0, island=True, uniform=True):
    """Fields (k, nj, ni) by name, float64: masks, metrics, f, and a random state; walls on all sides, land is zero."""
    draw = np.random.default_rng(seed)
    tmask = np.ones((1, nj, ni))
    if island:
        tmask[:, 5:7, 4:6] = 0.0
    umask, vmask = np.zeros_like(tmask), np.zeros_like(tmask)
    umask[..., :-1] = tmask[..., :-1] * tmask[..., 1:]
    vmask[:, :-1] = tmask[:, :-1] * tmask[:, 1:]
    fields = {"tmask": tmask, "umask": umask, "vmask": vmask}
    for name in METRICS:
        stretch = 1.0 if uniform else draw.uniform(0.8, 1.2, (1, nj, ni))
        fields[name] = SPACING * stretch * np.ones((1, nj, ni))
    fields["ff_t"] = np.broadcast_to(7e-5 + 8e-7 * np.arange(nj)[None, :, None], (1, nj, ni)).copy()
    fields["u"] = umask * draw.normal(0, 0.1, (levels, nj, ni))
    fields["v"] = vmask * draw.normal(0, 0.1, (levels, nj, ni))
    fields["h"] = tmask * draw.uniform(300, 800, (levels, nj, ni))
    return fields


def padded(fields, net: Trainable, under_land=None):
    """The network's tensor (1, c, J, I): fills under land and outside the walls; `under_land` stands in for the fills."""
    dtype = next(net.parameters()).dtype
    masks = {"T": fields["tmask"], "U": fields["umask"], "V": fields["vmask"]}
    parts = []
    for spec in net.inputs:
        field, fill = np.asarray(fields[spec.name]), float(spec.fill)
        if not spec.static:
            fill = fill if under_land is None else under_land
            field = np.where(masks[spec.point] > 0, field, fill)
        r = net.radius
        parts.append(np.pad(field, ((0, 0), (r, r), (r, r)), constant_values=fill))
    return torch.from_numpy(np.concatenate(parts))[None].to(dtype)


def run(net: Trainable, fields, **how):
    """Outputs (k, nj, ni) by name, float64 arrays."""
    with torch.inference_mode():
        found = net(padded(fields, net, **how))[0].double().numpy()
    cuts = np.cumsum([int(spec.levels) for spec in net.outputs])[:-1]
    return {spec.name: part for spec, part in zip(net.outputs, np.split(found, cuts), strict=True)}


def distance(a, b):
    """Largest difference over the rms of b, over all outputs."""
    return max(float(np.abs(a[name] - b[name]).max() / np.sqrt(np.mean(b[name] ** 2))) for name in b)

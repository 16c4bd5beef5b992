"""Zanna and Bolton (2020): the momentum closure in closed form, on the C-grid.

Array index [k, j, i]; U(i, j) is the east face of T(i, j), V(i, j) its north face, F(i, j) its north-east corner.
"""

import torch
from torch import Tensor

from coupler.contract import SCHEMA, Contract

RADIUS = 2
GAMMA, SPACING = 0.1, 40e3
KAPPA = GAMMA * SPACING**2  # 1.6e8 m2: gamma A at 40 km

STATIC = ("e1t", "e2t", "e1u", "e2u", "e1v", "e2v", "e1f", "e2f", "tmask", "fmask")
INPUTS = ("u", "v", "h", *STATIC)
OUTPUTS = ("du", "dv")


def zanna_bolton(
    u: Tensor, v: Tensor, h: Tensor,
    e1t: Tensor, e2t: Tensor, e1u: Tensor, e2u: Tensor, e1v: Tensor, e2v: Tensor, e1f: Tensor, e2f: Tensor,
    tmask: Tensor, fmask: Tensor, kappa: float = KAPPA,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Momentum forcing (1/h) div(h T) of Zanna and Bolton (2020), eq. 6, in flux form.

    T = -kappa [[-zeta D, zeta Dh], [zeta Dh, zeta D]] - kappa/2 (zeta^2 + D^2 + Dh^2) I; vorticity zeta = v_x - u_y,
    shear D = u_y + v_x, stretch Dh = u_x - v_y. kappa = gamma A for cell area A, gamma of order 0.1 to 2.5;
    the published kappa_BC is -kappa.

    u, v, h: (k, j, i) at U, V and T points [m s-1, m], padded by 2 in j and i; metrics [m] and masks: (1, j, i), padded
    alike. fmask carries the slip (2 on no-slip walls). Values under land are never used; h is positive in
    wet cells. Returns du/dt, dv/dt: (k, j - 4, i - 4) at U and V points [m s-2], zero on land faces.
    """
    # Quantities of one kind are stacked on a leading axis: fewer graph nodes, whose fixed cost dominates small blocks.
    # Rows 1.., columns ..-1 of U; rows ..-1, columns 1.. of V; everything at F and T points without the outermost ring.
    wet_t = tmask > 0
    wet_u = wet_t[:, 1:, :-1] & wet_t[:, 1:, 1:]
    wet_v = wet_t[:, :-1, 1:] & wet_t[:, 1:, 1:]
    masks = torch.cat((fmask, tmask))[:, 1:-1, 1:-1]
    wet = masks > 0
    u = torch.where(wet_u, u[:, 1:, :-1], 0.0)
    v = torch.where(wet_v, v[:, :-1, 1:], 0.0)
    h = torch.where(wet_t[:, 1:-1, 1:-1], h[:, 1:-1, 1:-1], 0.0)
    eu = torch.where(wet_u, torch.cat((e1u, e2u))[:, 1:, :-1], 1.0)
    ev = torch.where(wet_v, torch.cat((e2v, e1v))[:, :-1, 1:], 1.0)
    e1 = torch.where(wet, torch.cat((e1f, e1t))[:, 1:-1, 1:-1], 1.0)
    e2 = torch.where(wet, torch.cat((e2f, e2t))[:, 1:-1, 1:-1], 1.0)
    e1e1, e2e2 = e1 * e1, e2 * e2
    area = masks / (e1 * e2)
    e1_e2, e2_e1 = e1e1 * area, e2e2 * area

    # zeta and D at F points, Dh at T points
    ru, rv = 1.0 / eu, 1.0 / ev
    us_j, us_i = (torch.cat((eu[:1], ru)).unsqueeze(1) * u).split((2, 1))  # e1u u, u/e1u; u/e2u
    vs_i, vs_j = (torch.cat((ev[:1], rv)).unsqueeze(1) * v).split((2, 1))  # e2v v, v/e2v; v/e1v
    du_j = us_j[..., 1:, 1:] - us_j[..., :-1, 1:]
    dv_i = vs_i[..., 1:, 1:] - vs_i[..., 1:, :-1]
    du_i = us_i[..., :-1, 1:] - us_i[..., :-1, :-1]
    dv_j = vs_j[..., 1:, :-1] - vs_j[..., :-1, :-1]
    (e1_e2f, e1_e2t), (e2_e1f, e2_e1t), area_f = e1_e2.split(1), e2_e1.split(1), area[:1]
    by_v = torch.cat((area_f, e2_e1f)).unsqueeze(1)
    by_u = torch.cat((-area_f, e1_e2f)).unsqueeze(1)
    zeta, shear = (by_v * dv_i + by_u * du_j).split(1)
    stretch = e2_e1t * du_i - e1_e2t * dv_j

    # h zeta D and h (zeta^2 + D^2 + Dh^2) / 2 at T points: corner averages of the products
    p, q = _corners(torch.cat((zeta * shear, 0.5 * (zeta * zeta + shear * shear)))).split(1)
    dh = stretch[..., 1:, 1:]
    ht = 0.25 * h[:, 1:, 1:]
    (e1e1f, e1e1t), (e2e2f, e2e2t) = e1e1.split(1), e2e2.split(1)
    hp = ht * p
    t = torch.cat((e2e2t[:, 1:, 1:] * hp, ht * (q + 2.0 * dh * dh), e1e1t[:, 1:, 1:] * hp))
    tx, hq_i = (t[:2, :, :-1, 1:] - t[:2, :, :-1, :-1]).split(1)
    hq_j, ty = (t[1:, :, 1:, :-1] - t[1:, :, :-1, :-1]).split(1)

    # h zeta Dh at F points
    dh, hf = _corners(torch.cat((stretch, h.unsqueeze(0)))).split(1)
    hr = (0.25 / _corners(masks[1:]).clamp(min=1.0)) * (hf * dh) * zeta[..., :-1, :-1]
    fx, fy = e1e1f[:, :-1, :-1] * hr, e2e2f[:, :-1, :-1] * hr
    fx, fy = fx[..., 1:, 1:] - fx[..., :-1, 1:], fy[..., 1:, 1:] - fy[..., 1:, :-1]

    umask, vmask = wet_u[:, 1:-2, 2:-1].to(h.dtype), wet_v[:, 2:-1, 1:-2].to(h.dtype)
    (_, e2u), (r1u, r2u) = eu[:, 1:-2, 2:-1].split(1), ru[:, 1:-2, 2:-1].split(1)
    (_, e1v), (r2v, r1v) = ev[:, 2:-1, 1:-2].split(1), rv[:, 2:-1, 1:-2].split(1)
    here = h[:, 1:-1, 1:-1]
    au = (2.0 * kappa) * umask * r1u * r2u / (here + h[:, 1:-1, 2:] + (1.0 - umask))
    av = (2.0 * kappa) * vmask * r1v * r2v / (here + h[:, 2:, 1:-1] + (1.0 - vmask))
    du = au * (r2u * tx - r1u * fx - e2u * hq_i)
    dv = av * -(r1v * ty + r2v * fy + e1v * hq_j)
    return du.squeeze(0), dv.squeeze(0)


def _corners(x: Tensor) -> Tensor:
    """Sum over the four points (i, j) to (i + 1, j + 1)."""
    x = x[..., 1:] + x[..., :-1]
    return x[..., 1:, :] + x[..., :-1, :]


class ZannaBolton(torch.nn.Module):
    """`zanna_bolton` with kappa [m2] fixed."""

    def __init__(self, kappa: float) -> None:
        super().__init__()
        self.kappa = kappa

    def forward(
        self, u: Tensor, v: Tensor, h: Tensor,
        e1t: Tensor, e2t: Tensor, e1u: Tensor, e2u: Tensor, e1v: Tensor, e2v: Tensor, e1f: Tensor, e2f: Tensor,
        tmask: Tensor, fmask: Tensor,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """See `zanna_bolton`."""
        return zanna_bolton(u, v, h, e1t, e2t, e1u, e2u, e1v, e2v, e1f, e2f, tmask, fmask, self.kappa)


def network(kappa: float = KAPPA) -> torch.nn.Module:
    """The closure as a module whose arguments are named as the contract's inputs."""
    return ZannaBolton(kappa)


def contract(dtype: str, kappa: float = KAPPA) -> Contract:
    """What the export starts from: `radius` and `decomposition` are measured there, the stored outputs added."""
    metric = {"units": "m", "levels": 1, "fill": 1.0, "static": True}
    mask = {"units": "1", "levels": 1, "static": True}
    inputs = [
        {"name": "u", "standard_name": "sea_water_x_velocity", "units": "m s-1", "point": "U", "vector_pair": "v"},
        {"name": "v", "standard_name": "sea_water_y_velocity", "units": "m s-1", "point": "V", "vector_pair": "u"},
        {"name": "h", "standard_name": "cell_thickness", "units": "m", "point": "T", "fill": 1.0},
        *({"name": name, "point": name[-1].upper(), **metric} for name in STATIC[:8]),
        {"name": "tmask", "standard_name": "sea_binary_mask", "point": "T", "valid_range": (0, 1), **mask},
        {"name": "fmask", "point": "F", "valid_range": (0, 2), **mask},
    ]
    ranges: dict[str, dict[str, list[float]]] = {name: {"range": [3e4, 5e4]} for name in STATIC[:8]}
    ranges |= {"u": {"range": [-1, 1]}, "v": {"range": [-1, 1]}, "h": {"range": [100, 500]}}
    ranges |= {"tmask": {"values": [0, 1, 1, 1, 1, 1]}, "fmask": {"values": [0, 1, 1, 2]}}
    return Contract.from_dict(
        {
            "schema_version": SCHEMA,
            "name": "zb20",
            "version": "1",
            "family": "zb20",
            "license": "MIT",
            "citation": "Zanna and Bolton (2020), Geophys. Res. Lett. 47, doi:10.1029/2020GL088376",
            "coefficients": {"kappa": kappa},
            "inputs": inputs,
            "outputs": [
                {"name": "du", "units": "m s-2", "point": "U", "vector_pair": "dv", "bounds": (-1e-3, 1e-3)},
                {"name": "dv", "units": "m s-2", "point": "V", "vector_pair": "du", "bounds": (-1e-3, 1e-3)},
            ],
            "radius": RADIUS,
            "dtype": dtype,
            "decomposition": "round-off",
            "self_test": {"shape": (2, 5, 6), "inputs": ranges, "tolerance": 1e-12 if dtype == "f8" else 1e-5},
        },
        "family 'zb20'",
    )

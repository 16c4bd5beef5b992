"""Constants of the two-layer model, and the two published regimes."""

from dataclasses import dataclass

from models.settings import NamQg

# Ross et al. (2023), doi:10.1029/2022MS003258: isotropic eddies, and jets. Depth ratio H1/H2, beta [m-1 s-1], drag [s-1].
REGIMES: dict[str, dict[str, float]] = {
    "eddy": {"rn_delta": 0.25, "rn_beta": 1.5e-11, "rn_rek": 5.787e-7},
    "jet": {"rn_delta": 0.1, "rn_beta": 1.0e-11, "rn_rek": 7.0e-8},
}


@dataclass(frozen=True)
class Parameters:
    """Side of the square [m], deformation radius [m], H1/H2, beta [m-1 s-1], mean zonal velocities [m s-1], bottom drag [s-1]."""

    length: float = 1.0e6
    rd: float = 15000.0
    delta: float = 0.25
    beta: float = 1.5e-11
    u1: float = 0.025
    u2: float = 0.0
    rek: float = 5.787e-7

    @property
    def f1(self) -> float:
        """Stretching of the upper layer, rd^-2 / (1 + delta) [m-2]: with f2 it gives the deformation wavenumber rd^-1."""
        return self.rd**-2 / (1.0 + self.delta)

    @property
    def f2(self) -> float:
        """Stretching of the lower layer, delta f1 [m-2]."""
        return self.delta * self.f1

    @property
    def mean_gradient(self) -> tuple[float, float]:
        """Meridional gradient of mean potential vorticity in each layer [m-1 s-1]."""
        shear = self.u1 - self.u2
        return self.beta + self.f1 * shear, self.beta - self.f2 * shear

    @property
    def share(self) -> tuple[float, float]:
        """H1/H and H2/H."""
        return self.delta / (1.0 + self.delta), 1.0 / (1.0 + self.delta)


def of(group: NamQg) -> Parameters:
    """The parameters of &namqg: those of its regime, where the namelist does not set them."""
    values = {
        name: getattr(group, name) if name in group.model_fields_set else value
        for name, value in REGIMES[group.cn_regime].items()
    }
    return Parameters(
        group.rn_length,
        group.rn_rd,
        values["rn_delta"],
        values["rn_beta"],
        group.rn_u1,
        group.rn_u2,
        values["rn_rek"],
    )

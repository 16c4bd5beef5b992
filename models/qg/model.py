"""The two-layer quasi-geostrophic model: pseudo-spectral, batched, differentiable.

    dq_m/dt + J(psi_m, q_m) + U_m dq_m/dx + Q_m dpsi_m/dx = -[m = 2] r_ek lap(psi_2)
    q_1 = lap(psi_1) + F_1 (psi_2 - psi_1),   q_2 = lap(psi_2) + F_2 (psi_1 - psi_2)

q anomalies of potential vorticity, psi stream functions, (u, v) = (-dpsi/dy, dpsi/dx), U_m and Q_m mean velocity and mean
gradient of potential vorticity. Vallis (2017), section 5.3; terms and filter are those of Ross et al. (2023). Fields are
(..., 2, ny, nx) in C order, the upper layer first, j northward.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from models.qg.parameters import Parameters

CUT, SHARP = 0.65 * math.pi, 23.6  # the exponential filter: LaCasce (1996), as in Ross et al. (2023)
Closure = Callable[[Tensor], Tensor]


class Model:
    """The model on n x n points with step dt [s].

    dtype: float64 or float32, of fields. The filter of small scales, once a step: exp(-23.6 (K - 0.65 pi)^4) where
    K = |k| dx > 0.65 pi.
    """

    def __init__(
        self,
        parameters: Parameters,
        n: int,
        dt: float,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> None:
        self.parameters, self.n, self.dt, self.dtype, self.device = parameters, n, dt, dtype, torch.device(device)
        p, unit = parameters, 2 * math.pi / parameters.length
        l = torch.fft.fftfreq(n, 1.0 / n, dtype=torch.float64)[:, None] * unit  # noqa: E741  meridional wavenumber
        k = torch.fft.rfftfreq(n, 1.0 / n, dtype=torch.float64)[None, :] * unit
        self.wavenumber = torch.hypot(k, l)
        scaled = self.wavenumber * p.length / n
        self.filter = self._real(torch.exp(-SHARP * (scaled - CUT).clamp(min=0.0) ** 4))
        self.inverse = self._real(inversion(p, self.wavenumber))
        k, l = (torch.where(x.abs() < (n - 1) * unit / 2, x, 0.0) for x in (k, l))  # noqa: E741  two points show no slope
        self.k, self.l = (self._complex(1j * x) for x in (k, l))
        self.mean_flow = self._real(torch.tensor([p.u1, p.u2], dtype=torch.float64)[:, None, None])
        gradient, drag = (torch.tensor(x, dtype=torch.float64)[:, None, None] for x in (p.mean_gradient, (0.0, p.rek)))
        self.slope = self._complex(1j * k * gradient - drag * self.wavenumber**2)  # Q_m d/dx + r_ek lap

    def _real(self, values: Tensor) -> Tensor:
        return values.to(self.device, self.dtype)

    def _complex(self, values: Tensor) -> Tensor:
        return values.to(self.device, torch.complex128 if self.dtype == torch.float64 else torch.complex64)

    def to_spectral(self, field: Tensor) -> Tensor:
        """(..., n, n) to (..., n, n/2 + 1)."""
        return torch.fft.rfft2(field)

    def to_physical(self, spectrum: Tensor) -> Tensor:
        """(..., n, n/2 + 1) to (..., n, n)."""
        return torch.fft.irfft2(spectrum, s=(self.n, self.n))

    def stream_function(self, q: Tensor) -> Tensor:
        """Spectra of psi [m2 s-1] from those of q [s-1], (..., 2, n, n/2 + 1)."""
        a, (q1, q2) = self.inverse, (q[..., 0, :, :], q[..., 1, :, :])
        return torch.stack((a[0, 0] * q1 + a[0, 1] * q2, a[1, 0] * q1 + a[1, 1] * q2), dim=-3)

    def velocity(self, q: Tensor) -> tuple[Tensor, Tensor]:
        """Velocities u, v [m s-1] of the anomalies, without the mean flow, from q (..., 2, n, n) [s-1]."""
        psi = self.stream_function(self.to_spectral(q))
        return self.to_physical(-self.l * psi), self.to_physical(self.k * psi)

    def rate(self, q: Tensor) -> Tensor:
        """Spectra of dq/dt [s-2] from those of q [s-1], without filter."""
        psi = self.stream_function(q)
        u, v, field = self.to_physical(torch.stack((-self.l * psi, self.k * psi, q))).unbind()
        uq, vq = self.to_spectral(torch.stack(((u + self.mean_flow) * field, v * field))).unbind()
        return -(self.k * uq + self.l * vq + self.slope * psi)

    def tendency(self, q: Tensor) -> Tensor:
        """dq/dt [s-2] (..., 2, n, n)."""
        return self.to_physical(self.rate(self.to_spectral(q)))

    def unfiltered(self, q: Tensor) -> Tensor:
        """Spectra of the state one step after q (..., 2, n, n) [s-1], by fourth-order Runge-Kutta, before the filter."""
        start, dt = self.to_spectral(q), self.dt
        r1 = self.rate(start)
        r2 = self.rate(start + 0.5 * dt * r1)
        r3 = self.rate(start + 0.5 * dt * r2)
        r4 = self.rate(start + dt * r3)
        return start + (dt / 6.0) * (r1 + 2.0 * (r2 + r3) + r4)

    def step(self, q: Tensor, forcing: Tensor | None = None) -> Tensor:
        """The state one step after q (..., 2, n, n) [s-1]; forcing [s-2] is added over the whole step, before the filter."""
        ahead = self.unfiltered(q)
        if forcing is not None:
            ahead = ahead + self.dt * self.to_spectral(forcing)
        return self.to_physical(self.filter * ahead)

    def after(self, q: Tensor, steps: int, closure: Closure | None = None) -> Tensor:
        """The state after `steps` steps; the closure maps states [s-1] to a forcing [s-2]."""
        for _ in range(steps):
            q = self.step(q, None if closure is None else closure(q))
        return q

    def noise(self, amplitude: float, seeds: list[int]) -> Tensor:
        """White noise (members, 2, n, n) of a standard deviation [s-1], a random stream for each member."""
        fields = [
            torch.randn(2, self.n, self.n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
            for seed in seeds
        ]
        return self._real(amplitude * torch.stack(fields))


def inversion(p: Parameters, wavenumber: Tensor) -> Tensor:
    """A of psi = A q, (2, 2, n, n/2 + 1) [m2]; 0 for the mean, which no velocity knows.

    (q_1, q_2) = [[-K2 - F1, F1], [F2, -K2 - F2]] (psi_1, psi_2), inverted with det = K2 (K2 + F1 + F2).
    """
    k2 = wavenumber.double() ** 2
    determinant = k2 * (k2 + p.f1 + p.f2)
    one = torch.where(k2 > 0, 1.0 / determinant.clamp(min=torch.finfo(torch.float64).tiny), 0.0)
    rows = [[-(k2 + p.f2) * one, -p.f1 * one], [-p.f2 * one, -(k2 + p.f1) * one]]
    return torch.stack([torch.stack(row) for row in rows])

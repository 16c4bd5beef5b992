"""The noise of coupler.noise made on a device: the same integers, the same operations in the same order, the same bits."""

import math

import numpy as np
import torch

from coupler.noise import (
    _CENTRE,
    _FAR_TAIL,
    _LEVELS,
    _LN2,
    _LOG,
    _MULTIPLIER,
    _ROUNDS,
    _TAIL,
    _WEYL,
    _WORD,
    Noise,
)  # fmt: skip


class DeviceNoise:
    """White noise, and noise that is held, on a device.

    31 levels of 182 x 149 take the CPU 26 ms, several times what a GPU needs for GZ21. 'ar1' stays on the CPU: a restart
    stores its last state.
    """

    def __init__(self, source: Noise, device: torch.device) -> None:
        """source: white or held noise, which is not drawn from."""
        assert source.time != "ar1"
        self._source, self._device = source, device
        self._pairs = torch.from_numpy(source._pairs).to(device)
        self._place = torch.from_numpy(source._place).to(device)
        self._sign = None if source._sign is None else torch.from_numpy(source._sign).to(device)
        self._step: int | None = None

    def draw(self, call: int, there: torch.Tensor) -> None:
        """Write the noise of the network's call to `there`, (levels, J, I); held noise is left as it is."""
        step = call // self._source._hold
        if step != self._step:
            there.copy_(self._numbers(step))
            self._step = step

    def _numbers(self, step: int) -> torch.Tensor:
        """As Noise._draw: (levels or 1, J, I) float64."""
        source, pairs = self._source, self._pairs.numel()
        counter = torch.empty((4, source._depth, pairs), dtype=torch.int64, device=self._device)
        counter[0] = self._pairs
        counter[1] = torch.arange(source._depth, device=self._device)[:, None] + (step >> 32) * _LEVELS
        counter[2] = step & _WORD
        counter[3] = source._stream
        drawn = normal(uniform(philox(counter, source._key)))
        outside = torch.zeros((source._depth, 1), dtype=torch.float64, device=self._device)
        numbers = torch.cat([drawn[0], drawn[1], outside], dim=1)
        values = numbers.index_select(1, self._place.view(-1)).view(-1, *self._place.shape)
        return values if self._sign is None else values * self._sign


def philox(counter: torch.Tensor, key: tuple[int, int]) -> torch.Tensor:
    """As coupler.noise.philox, in int64: a product that leaves it keeps its 64 bits, and the mask takes the sign off."""
    even, odd = counter[0::2], counter[1::2]
    multiplier = torch.tensor(_MULTIPLIER.astype("i8"), device=counter.device).view(2, *[1] * (counter.ndim - 1))
    for number in range(_ROUNDS):
        product = (even * multiplier).flip(0)
        keys = [(word + number * int(step)) & _WORD for word, step in zip(key, _WEYL, strict=True)]
        high = (product >> 32 & _WORD) ^ odd
        even, odd = torch.stack([half ^ word for half, word in zip(high, keys, strict=True)]), product & _WORD
    return torch.stack([even[0], odd[0], even[1], odd[1]])


def uniform(words: torch.Tensor) -> torch.Tensor:
    """As coupler.noise.uniform."""
    return (((words[0::2] << 32) | words[1::2]) >> 11).to(torch.float64).add_(0.5).mul_(2.0**-53)


def normal(q: torch.Tensor) -> torch.Tensor:
    """As coupler.noise.normal; every number takes all branches, so that the host need not wait for a count."""
    z = _ratio(0.180625 - q * q, _CENTRE) * q
    r = _sqrt(-_log(0.5 - q.abs()))
    tail = torch.where(r > 5.0, _ratio(r - 5.0, _FAR_TAIL), _ratio(r - 1.6, _TAIL))
    return torch.where(q.abs() > 0.425, torch.copysign(tail, q), z)


def _ratio(r: torch.Tensor, table: np.ndarray) -> torch.Tensor:
    parts = []
    for column in table.T.tolist():
        total = column[0] * r
        for coefficient in column[1:-1]:
            total.add_(coefficient).mul_(r)
        parts.append(total.add_(column[-1]))
    return parts[0].div_(parts[1])


def _sqrt(x: torch.Tensor) -> torch.Tensor:
    """Correctly rounded. torch's own on the CPU is that of MKL: the last bit of 4 % of the numbers is off (measured).

    One step of Heron with the exact remainder x - s s. Source: Dekker, Numer. Math. 18 (1971) 224-242, doi:10.1007/BF01397083.
    """
    s = torch.sqrt(x)
    high = s * 134217729.0  # 2^27 + 1: halves of s whose products are exact
    high = high - (high - s)
    low = s - high
    square = s * s
    error = ((high * high - square) + 2.0 * (high * low)) + low * low
    return s + ((x - square) - error) / (2.0 * s)


def _log(p: torch.Tensor) -> torch.Tensor:
    fraction, exponent = torch.frexp(p)
    low = fraction < math.sqrt(0.5)
    e = exponent.to(torch.float64) - low.to(torch.float64)
    f = torch.where(low, 2.0 * fraction, fraction) - 1.0
    s = f / (2.0 + f)
    z = s * s
    series = _LOG[0] * z
    for coefficient in _LOG[1:]:
        series = (series + coefficient) * z
    half = 0.5 * f * f
    return e * _LN2[0] - ((half - (s * (half + series) + e * _LN2[1])) - f)

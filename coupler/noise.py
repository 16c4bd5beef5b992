"""Standard normal noise for stochastic closures: a function of where and when, so that no decomposition changes it."""

import math
from decimal import Context, Decimal
from zlib import crc32

import numpy as np

from coupler.errors import HaloclineError

TIMES = ("white", "ar1", "hold")

# Philox-4x32-10. One round maps (c0, c1, c2, c3) to (high(M1 c2) ^ c1 ^ k0, low(M1 c2), high(M0 c0) ^ c3 ^ k1, low(M0 c0)).
# Source: Salmon, Moraes, Dror & Shaw, Parallel random numbers: as easy as 1, 2, 3 (2011), doi:10.1145/2063384.2063405.
_ROUNDS = 10
_MULTIPLIER = np.array([[0xD2511F53], [0xCD9E8D57]], np.uint64)  # M0, M1
_WEYL = np.array([0x9E3779B9, 0xBB67AE85], np.uint64)  # added to the key after each round
_WORD = 2**32 - 1
_LEVELS, _STEPS = 2**16, 2**48  # what the counter holds
_BATCH = 16384  # pairs of numbers drawn at once; 62 x 199 x 31 took 8 ms, 14 ms at 4096 and 19 ms all at once

# Normal quantiles, numerators and denominators of three rational functions, highest power first.
# Source: Wichura, algorithm AS 241 (PPND16), Appl. Statist. 37 (1988) 477-484, doi:10.2307/2347330.
_CENTRE = np.array(
    [
        [2.5090809287301226727e3, 5.2264952788528545610e3],
        [3.3430575583588128105e4, 2.8729085735721942674e4],
        [6.7265770927008700853e4, 3.9307895800092710610e4],
        [4.5921953931549871457e4, 2.1213794301586595867e4],
        [1.3731693765509461125e4, 5.3941960214247511077e3],
        [1.9715909503065514427e3, 6.8718700749205790830e2],
        [1.3314166789178437745e2, 4.2313330701600911252e1],
        [3.3871328727963666080e0, 1.0],
    ]
)
_TAIL = np.array(
    [
        [7.74545014278341407640e-4, 1.05075007164441684324e-9],
        [2.27238449892691845833e-2, 5.47593808499534494600e-4],
        [2.41780725177450611770e-1, 1.51986665636164571966e-2],
        [1.27045825245236838258e0, 1.48103976427480074590e-1],
        [3.64784832476320460504e0, 6.89767334985100004550e-1],
        [5.76949722146069140550e0, 1.67638483018380384940e0],
        [4.63033784615654529590e0, 2.05319162663775882187e0],
        [1.42343711074968357734e0, 1.0],
    ]
)
_FAR_TAIL = np.array(
    [
        [2.01033439929228813265e-7, 2.04426310338993978564e-15],
        [2.71155556874348757815e-5, 1.42151175831644588870e-7],
        [1.24266094738807843860e-3, 1.84631831751005468180e-5],
        [2.65321895265761230930e-2, 7.86869131145613259100e-4],
        [2.96560571828504891230e-1, 1.48753612908506148525e-2],
        [1.78482653991729133580e0, 1.36929880922735805310e-1],
        [5.46378491116411436990e0, 5.99832206555887937690e-1],
        [6.65790464350110377720e0, 1.0],
    ]
)

# Logarithm of 1 + f by s = f / (2 + f): log = 2 s + s R(s^2). Source: fdlibm, e_log.c (Sun Microsystems, 1993).
_LOG = (
    1.479819860511658591e-1,
    1.531383769920937332e-1,
    1.818357216161805012e-1,
    2.222219843214978396e-1,
    2.857142874366239149e-1,
    3.999999999940941908e-1,
    6.666666666666735130e-1,
)
_LN2 = (6.93147180369123816490e-1, 1.90821492927058770002e-10)  # the first has 21 trailing zero bits


def philox(counter: np.ndarray, key: tuple[int, int]) -> np.ndarray:
    """Ten rounds of Philox-4x32 on words of 32 bits held in uint64.

    counter: (4, ...) uint64, overwritten by the result, which is returned; key: two words.
    """
    words = counter.reshape(4, -1)
    even, odd = words[0::2], words[1::2]
    keys = (np.array(key, np.uint64) + np.arange(_ROUNDS, dtype=np.uint64)[:, None] * _WEYL) & _WORD
    product = np.empty_like(even)
    swapped = product[::-1]
    for pair in keys[:, :, None]:
        np.multiply(even, _MULTIPLIER, out=product)
        np.right_shift(swapped, 32, out=even)
        even ^= odd
        even ^= pair
        np.bitwise_and(swapped, _WORD, out=odd)
    return counter


def uniform(words: np.ndarray) -> np.ndarray:
    """Centred uniform numbers of 53 bits: q = (n + 1/2) / 2^53 with -2^52 <= n < 2^52, so neither end is reached.

    words: (4, ...) uint64 as from `philox`. Returns (2, ...) float64, exact: words 0 and 1 make the first, 2 and 3 the second.
    """
    both = words[0::2] << np.uint64(32)
    both |= words[1::2]
    q = (both.view(np.int64) >> 11).astype(np.float64)
    q += 0.5
    q *= 2.0**-53
    return q


def normal(q: np.ndarray) -> np.ndarray:
    """Standard normal quantile of the probability 1/2 + q, by + - * / sqrt only: the same bits on any IEEE machine.

    q: float64, any shape, -1/2 < q < 1/2. Returns the same shape, odd in q to the last bit. For the numbers of `uniform`
    the relative error is below 8e-16 (9e4 of them against 50 digits: 7.2e-16) and the largest value 8.29.
    """
    r = q * q
    np.subtract(0.180625, r, out=r)
    z = _ratio(r, _CENTRE)
    z *= q
    outer = np.flatnonzero(np.abs(q) > 0.425)
    if outer.size:
        side = q.ravel()[outer]
        r = np.sqrt(-_log(0.5 - np.abs(side)))
        tail = _ratio(r - 1.6, _TAIL)
        far = np.flatnonzero(r > 5.0)  # one number in 4e10
        if far.size:
            tail[far] = _ratio(r[far] - 5.0, _FAR_TAIL)
        z.reshape(-1)[outer] = np.copysign(tail, side)
    return z


def _ratio(r: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Quotient of two polynomials in r by Horner's rule."""
    columns = table.reshape(*table.shape, *[1] * r.ndim)
    both = columns[0] * r
    for coefficients in columns[1:-1]:
        both += coefficients
        both *= r
    both += columns[-1]
    return np.divide(both[0], both[1], out=both[0])


def _log(p: np.ndarray) -> np.ndarray:
    """Natural logarithm of positive p, to 0.6 units in the last place (measured). np.log's bits depend on the machine."""
    fraction, exponent = np.frexp(p)
    low = fraction < math.sqrt(0.5)
    e = (exponent - low).astype(np.float64)
    f = np.where(low, 2.0 * fraction, fraction) - 1.0
    s = f / (2.0 + f)
    z = s * s
    series = _LOG[0] * z
    for coefficient in _LOG[1:]:
        series = (series + coefficient) * z
    half = 0.5 * f * f
    return e * _LN2[0] - ((half - (s * (half + series) + e * _LN2[1])) - f)


class Noise:
    """The noise of one field on one padded block; its bits depend on seed, member, name, call, global cell and level.

    name: for instance 'net.output'; its CRC-32 separates the streams. source: (J, I) int64, global flat index of every
    cell, -1 outside the grid (noise 0), and sign: (J, I) +-1 for a component of a vector, else None; both as from
    `coupler.halo.source_map`. shared: one noise for all levels. time, with memory counted in calls:

    - 'white': new at each call; memory is not used.
    - 'hold': kept for `memory` calls, a whole number.
    - 'ar1': n <- a n + sqrt(1 - a^2) eps with a = exp(-1 / memory); the first call gives eps, so n is stationary.

    Key of Philox: seed, member. Its counter: half the cell index (cells 2 m and 2 m + 1 share a call); level + 2^16 (step
    div 2^32); step mod 2^32; stream. This is one to one for step < 2^48, levels <= 2^16 and 2^33 cells.
    Raises HaloclineError for an argument out of range.
    """

    def __init__(
        self,
        name: str,
        source: np.ndarray,
        sign: np.ndarray | None,
        levels: int,
        *,
        seed: int,
        member: int,
        time: str,
        memory: float,
        shared: bool,
    ) -> None:
        self._name, self.time = name, time
        self._check("number of levels", levels, 1 <= levels <= _LEVELS, f"1 to {_LEVELS}")
        self._check("seed", seed, 0 <= seed <= _WORD, f"0 to {_WORD}")
        self._check("member", member, 0 <= member <= _WORD, f"0 to {_WORD}")
        self._check("kind in time", time, time in TIMES, ", ".join(TIMES))
        if time == "hold":
            self._check("memory", memory, memory >= 1 and memory % 1 == 0, "a whole number of calls, 1 or more")
        if time == "ar1":
            self._check("memory", memory, 0 < memory < np.inf, "a finite number of calls above 0")
            self._decay, self._fresh = _decay(memory)
        self._key, self._stream = (seed, member), crc32(name.encode())
        self._levels, self._depth = levels, 1 if shared else levels
        self._hold = int(memory) if time == "hold" else 1

        known = source >= 0
        self._source = source
        self._sign = None if sign is None or (sign[known] > 0).all() else np.where(known, sign, 1).astype(np.float64)
        self._pairs = np.unique(source[known] >> 1)
        # Place of a cell among the numbers drawn: the even cells, then the odd cells, then a zero for cells outside.
        place = np.searchsorted(self._pairs, source >> 1) + (source & 1) * self._pairs.size
        self._place = np.where(known, place, 2 * self._pairs.size)
        self._step: int | None = None
        self._values = np.empty(0)

    def at(self, call: int) -> np.ndarray:
        """Noise of the network's call, counted from 0 at the start of the experiment: (levels, J, I) float64, read-only.

        The same call gives the same noise again. Raises HaloclineError when 'ar1' does not go on by one call.
        """
        step = call // self._hold
        if step != self._step:
            self._check("call", call, 0 <= step < _STEPS, f"0 to {_STEPS - 1}")
            values = self._draw(step)
            if self.time == "ar1" and self._step is not None:
                self._check("call", call, step == self._step + 1, f"{self._step + 1}, the next, or restore a state")
                values *= self._fresh
                values += self._decay * self._values
            self._values, self._step = values, step
        return np.broadcast_to(self._values, (self._levels, *self._source.shape))

    @property
    def state(self) -> tuple[np.ndarray, int] | None:
        """Of 'ar1': the (levels or 1, J, I) array and the call of the last draw. None before it, and for other kinds."""
        return (self._values, self._step) if self.time == "ar1" and self._step is not None else None

    def interior(self, halo: int) -> np.ndarray | None:
        """The array of `state` without its halo, as a restart stores it."""
        rows, columns = self._source.shape
        return self.state and self.state[0][:, halo : rows - halo, halo : columns - halo]

    def restore(self, values: np.ndarray, call: int) -> None:
        """Go on after `call` of an earlier run, with any decomposition. values: (levels or 1, NY, NX) float64, global.

        Raises HaloclineError when the noise has no memory, or when values do not fit it or are not finite.
        """
        self._check("state to restore of kind", self.time, self.time == "ar1", "ar1")
        self._check("call", call, 0 <= call < _STEPS, f"0 to {_STEPS - 1}")
        self._check("type of the state", values.dtype, values.dtype.str[1:] == "f8", "float64, as it was written")
        cells = int(self._source.max()) + 1
        fits = values.ndim == 3 and len(values) == self._depth and values[0].size >= cells
        self._check("shape of the state", values.shape, fits, f"({self._depth}, NY, NX) with {cells} cells or more")
        padded = np.concatenate((values.reshape(self._depth, -1), np.zeros((self._depth, 1))), axis=1)
        mine = padded[:, self._source]
        self._check("state", "NaN or infinity", bool(np.isfinite(mine).all()), "finite numbers")
        self._values, self._step = mine if self._sign is None else mine * self._sign, call

    def _draw(self, step: int) -> np.ndarray:
        """Independent standard normal numbers of one step, (levels or 1, J, I)."""
        pairs = self._pairs.size
        numbers = np.zeros((self._depth, 2 * pairs + 1))
        batch = max(1, _BATCH // max(1, pairs))
        for first in range(0, self._depth, batch):
            levels = slice(first, min(first + batch, self._depth))
            counter = np.empty((4, levels.stop - first, pairs), np.uint64)
            counter[0] = self._pairs
            counter[1] = np.arange(first, levels.stop)[:, None] + (step >> 32) * _LEVELS
            counter[2] = step & _WORD
            counter[3] = self._stream
            numbers[levels, :pairs], numbers[levels, pairs:-1] = normal(uniform(philox(counter, self._key)))
        noise = numbers.take(self._place, axis=1)
        if self._sign is not None:
            noise *= self._sign
        return noise

    def _check(self, what: str, got: object, fine: bool, allowed: str) -> None:
        """Refuse an argument."""
        if not fine:
            raise HaloclineError(f"noise '{self._name}': the {what} is {got}. Allowed: {allowed}.")


def _decay(memory: float) -> tuple[float, float]:
    """Factors of 'ar1', exp(-1 / memory) = a and sqrt(1 - a^2), correctly rounded by Decimal: C's exp varies by machine."""
    context = Context(prec=50)
    a = context.exp(context.divide(Decimal(-1), Decimal(memory)))
    return float(a), float(context.sqrt(context.subtract(Decimal(1), context.multiply(a, a))))

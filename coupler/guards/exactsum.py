"""Exact sums of float64 numbers and products: the same bits for any order, layout and number of ranks."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from coupler.errors import HaloclineError

# A sum is one integer in units of 2^-2148, the square of the smallest double, cut into limbs of 32 bits in int64:
# value = 2^-2148 sum_n limbs[n] 2^(32 n). The largest product is below 2^2048, so 4196 bits hold every term, and the two
# highest limbs what 2^29 terms carry. Source: Kulisch's accumulator; the limbs follow Neal, arXiv:1505.05571.
LIMBS = 134
_UNIT = 2148
_SUBNORMAL = 1074  # a double is a whole number of 2^-1074
_LOW, _HALF = 2**32 - 1, 2**27 - 1
_PIECE = 4096  # 62 x 199 products took 0.5 ms, 1.0 ms at 8192 and more


def partial(x: np.ndarray) -> np.ndarray:
    """Exact sum of x, any shape, float64: LIMBS int64.

    Partial sums add as integers (+, MPI_SUM), in any order: up to 2^30 of them, of up to 2^29 numbers each.
    Raises HaloclineError for a number that is not finite.
    """
    limbs = np.zeros(LIMBS, np.int64)
    for piece in _pieces(x):
        mantissa, exponent = _split(piece)
        _deposit(limbs, mantissa, exponent + (_UNIT - _SUBNORMAL))
    return _carried(limbs)


def partial_products(w: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Exact sum of w x over the shape that w and x broadcast to, both float64: LIMBS int64, as `partial`.

    The products are those of the mantissas as integers: exact without a limit on the exponents.
    Raises HaloclineError for a number that is not finite.
    """
    limbs = np.zeros(LIMBS, np.int64)
    for weights, values in _pieces(w, x):
        (a, i), (b, j) = _split(weights), _split(values)
        # 53 x 53 bits from parts of 26 and 27 bits; every sum below stays under 2^55.
        a_high, a_low, b_high, b_low = a >> 27, a & _HALF, b >> 27, b & _HALF
        middle = a_high * b_low + a_low * b_high
        position = i + j
        _deposit(limbs, a_low * b_low + ((middle & _HALF) << 27), position)
        _deposit(limbs, a_high * b_high + (middle >> 27), position + 54)
    return _carried(limbs)


def total(limbs: np.ndarray) -> float:
    """The sum, rounded once to the nearest float64. limbs: from `partial` or `partial_products`, or a sum of such.

    Raises HaloclineError when the sum exceeds the largest float64.
    """
    number = 0
    for limb in reversed(limbs.tolist()):
        number = (number << 32) + limb
    try:
        return number / (1 << _UNIT)  # Python rounds the quotient of two integers correctly
    except OverflowError:
        raise HaloclineError(
            "an exact sum exceeds the largest float64, 1.8e308. Allowed: sums below. Scale the field or its weights."
        ) from None


def _pieces(*arrays: np.ndarray) -> Iterable[Any]:
    """Flat pieces of arrays that broadcast together, any order; one array, or a tuple. Small, to stay in the cache."""
    types = [np.float64] * len(arrays)
    return np.nditer(arrays, ["external_loop", "buffered", "zerosize_ok"], op_dtypes=types, buffersize=_PIECE)


def _split(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Signed mantissa m, |m| < 2^53, and exponent e >= 0, both int64, so that x = m 2^(e - 1074)."""
    bits = x.view(np.int64)
    exponent = (bits >> 52) & 0x7FF
    if (exponent == 0x7FF).any():
        bad = x[~np.isfinite(x)]
        raise HaloclineError(
            f"an exact sum met {bad[0]} among its terms. Allowed: finite numbers. Mask land before the sum, or look at what "
            "made them."
        )
    mantissa = bits & (2**52 - 1)
    mantissa |= (exponent > 0).astype(np.int64) << 52  # the leading one, which subnormal numbers lack
    sign = bits >> 63
    return (mantissa ^ sign) - sign, np.maximum(exponent, 1) - 1


def _deposit(limbs: np.ndarray, number: np.ndarray, position: np.ndarray) -> None:
    """Add number 2^position, |number| < 2^55, to the limbs. Every limb grows by less than 1.5 2^32 a number."""
    first, shift = position >> 5, position & 31
    low = (number & _LOW) << shift
    high = (number >> 32) << shift  # keeps the sign: below 2^55
    np.add.at(limbs, first, low & _LOW)
    np.add.at(limbs, first + 1, (low >> 32) + (high & _LOW))
    np.add.at(limbs, first + 2, high >> 32)


def _carried(limbs: np.ndarray) -> np.ndarray:
    """The same number with every limb but the last in 0 ... 2^32 - 1, so that partial sums can be added again."""
    values, carry = limbs.tolist(), 0
    for n, value in enumerate(values[:-1]):
        carry, values[n] = divmod(value + carry, 2**32)
    values[-1] += carry
    return np.array(values, np.int64)

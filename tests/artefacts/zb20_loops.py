"""Zanna and Bolton (2020) as plain loops, straight from the formulas: one point, one level at a time. Slow on purpose."""

import numpy as np


def zanna_bolton(
    u, v, h, e1t, e2t, e1u, e2u, e1v, e2v, e1f, e2f, tmask, fmask, kappa, sign_r=1.0, products=True
) -> tuple[np.ndarray, np.ndarray]:
    """du, dv (k, J - 4, I - 4). Broken on request: sign_r = -1 flips R_f, products = False averages the factors."""
    e1t, e2t, e1u, e2u, e1v, e2v, e1f, e2f, tm, fm = (
        a[0] for a in (e1t, e2t, e1u, e2u, e1v, e2v, e1f, e2f, tmask, fmask)
    )
    levels, nj, ni = u.shape
    du, dv = np.zeros((levels, nj - 4, ni - 4)), np.zeros((levels, nj - 4, ni - 4))
    for k in range(levels):
        for j in range(2, nj - 2):
            for i in range(2, ni - 2):
                point = _Level(u[k], v[k], h[k], e1t, e2t, e1u, e2u, e1v, e2v, e1f, e2f, tm, fm, sign_r, products)
                du[k, j - 2, i - 2] = kappa * point.du(j, i)
                dv[k, j - 2, i - 2] = kappa * point.dv(j, i)
    return du, dv


class _Level:
    def __init__(self, u, v, h, e1t, e2t, e1u, e2u, e1v, e2v, e1f, e2f, tm, fm, sign_r, products):
        self.u, self.v, self.h, self.tm, self.fm = u, v, h, tm, fm
        self.e1t, self.e2t, self.e1u, self.e2u = e1t, e2t, e1u, e2u
        self.e1v, self.e2v, self.e1f, self.e2f = e1v, e2v, e1f, e2f
        self.sign_r, self.products = sign_r, products

    def wet_u(self, j, i):
        return self.tm[j, i] > 0 and self.tm[j, i + 1] > 0

    def wet_v(self, j, i):
        return self.tm[j, i] > 0 and self.tm[j + 1, i] > 0

    def uu(self, j, i, factor):  # factor * u, 0 on land whatever is stored there
        return factor[j, i] * self.u[j, i] if self.wet_u(j, i) else 0.0

    def vv(self, j, i, factor):
        return factor[j, i] * self.v[j, i] if self.wet_v(j, i) else 0.0

    def u_over(self, j, i, divisor):
        return self.u[j, i] / divisor[j, i] if self.wet_u(j, i) else 0.0

    def v_over(self, j, i, divisor):
        return self.v[j, i] / divisor[j, i] if self.wet_v(j, i) else 0.0

    def zeta(self, j, i):
        if self.fm[j, i] == 0:
            return 0.0
        curl = self.vv(j, i + 1, self.e2v) - self.vv(j, i, self.e2v)
        curl -= self.uu(j + 1, i, self.e1u) - self.uu(j, i, self.e1u)
        return curl / (self.e1f[j, i] * self.e2f[j, i]) * self.fm[j, i]

    def shear(self, j, i):
        if self.fm[j, i] == 0:
            return 0.0
        a = self.e1f[j, i] / self.e2f[j, i] * (self.u_over(j + 1, i, self.e1u) - self.u_over(j, i, self.e1u))
        b = self.e2f[j, i] / self.e1f[j, i] * (self.v_over(j, i + 1, self.e2v) - self.v_over(j, i, self.e2v))
        return (a + b) * self.fm[j, i]

    def stretch(self, j, i):
        if self.tm[j, i] == 0:
            return 0.0
        a = self.e2t[j, i] / self.e1t[j, i] * (self.u_over(j, i, self.e2u) - self.u_over(j, i - 1, self.e2u))
        b = self.e1t[j, i] / self.e2t[j, i] * (self.v_over(j, i, self.e1v) - self.v_over(j - 1, i, self.e1v))
        return a - b

    def thickness(self, j, i):
        return self.h[j, i] if self.tm[j, i] > 0 else 0.0

    @staticmethod
    def corners(f, j, i):
        return 0.25 * (f(j, i) + f(j, i - 1) + f(j - 1, i) + f(j - 1, i - 1))

    def hp(self, j, i):
        if self.products:
            p = self.corners(lambda b, a: self.zeta(b, a) * self.shear(b, a), j, i)
        else:
            p = self.corners(self.zeta, j, i) * self.corners(self.shear, j, i)
        return self.thickness(j, i) * p

    def hq(self, j, i):
        squares = self.corners(lambda b, a: self.zeta(b, a) ** 2 + self.shear(b, a) ** 2, j, i)
        return self.thickness(j, i) * 0.5 * (squares + self.stretch(j, i) ** 2)

    def hr(self, j, i):
        if self.fm[j, i] == 0:
            return 0.0
        cells = [(j, i), (j, i + 1), (j + 1, i), (j + 1, i + 1)]
        h_f = sum(self.thickness(*c) for c in cells) / max(1.0, sum(self.tm[c] for c in cells))
        return self.sign_r * h_f * self.zeta(j, i) * 0.25 * sum(self.stretch(*c) for c in cells)

    def at_t(self, j, i, metric, value):
        return metric[j, i] ** 2 * value if self.tm[j, i] > 0 else 0.0

    def at_f(self, j, i, metric):
        return metric[j, i] ** 2 * self.hr(j, i) if self.fm[j, i] > 0 else 0.0

    def du(self, j, i):
        if not self.wet_u(j, i):
            return 0.0
        h_u, e1, e2 = 0.5 * (self.h[j, i] + self.h[j, i + 1]), self.e1u[j, i], self.e2u[j, i]
        a = self.at_t(j, i + 1, self.e2t, self.hp(j, i + 1)) - self.at_t(j, i, self.e2t, self.hp(j, i))
        b = self.at_f(j, i, self.e1f) - self.at_f(j - 1, i, self.e1f)
        return (a / e2 - b / e1) / (e1 * e2 * h_u) - (self.hq(j, i + 1) - self.hq(j, i)) / (e1 * h_u)

    def dv(self, j, i):
        if not self.wet_v(j, i):
            return 0.0
        h_v, e1, e2 = 0.5 * (self.h[j, i] + self.h[j + 1, i]), self.e1v[j, i], self.e2v[j, i]
        a = self.at_t(j + 1, i, self.e1t, self.hp(j + 1, i)) - self.at_t(j, i, self.e1t, self.hp(j, i))
        b = self.at_f(j, i, self.e2f) - self.at_f(j, i - 1, self.e2f)
        return (-a / e1 - b / e2) / (e1 * e2 * h_v) - (self.hq(j + 1, i) - self.hq(j, i)) / (e2 * h_v)

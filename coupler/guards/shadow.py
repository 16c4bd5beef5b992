"""A shadow network beside the active one: how alike their outputs are. It never reaches the ocean."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from coupler.guards import exactsum

LOG = Path("halocline.shadow.jsonl")
HUGE = 1e100  # its square is still a number
# Sums over wet cells and calls; a: active, s: shadow, u: the field of cn_energy, w: its weights.
SUMS = ("n", "a", "s", "aa", "ss", "as", "dd", "uaw", "usw")


class Shadow:
    """Compares the outputs of two networks that go to the same field, over this run.

    Sums are float64 on every rank and added exactly over the ranks, so the numbers depend on the layout by round-off only
    (an exact sum of 62 x 199 x 2 cells takes 1.4 ms, nine of them would cost more than the network).
    allsum adds int64 arrays over the coupler ranks.
    """

    def __init__(
        self,
        shadow: str,
        active: str,
        fields: Sequence[str],
        rank: int,
        allsum: Callable[[np.ndarray], np.ndarray],
        units: Mapping[str, str] | None = None,
    ) -> None:
        self.shadow, self.active, self.fields = shadow, active, tuple(fields)
        self._rank, self._allsum, self._units = rank, allsum, dict(units or {})
        self._now: np.ndarray = np.zeros((len(self.fields), len(SUMS)))
        self._run: np.ndarray = np.zeros_like(self._now)
        self._energy: set[str] = set()
        self._wet: dict[str, np.ndarray] = {}
        self._since = 0
        self._calls = 0

    def add(
        self,
        kt: int,
        active: Mapping[str, np.ndarray],
        shadow: Mapping[str, np.ndarray],
        masks: Mapping[str, np.ndarray],
        energy: Mapping[str, tuple[np.ndarray, np.ndarray | float]] | None = None,
    ) -> None:
        """One call of both networks, (k, nj, ni) for each field, after the active one's guards.

        masks: 0 on land, static, broadcast; absent: all wet. energy: field -> (u, w), so that sum(u x w) is the energy that
        x puts in; both broadcast. Cells where the shadow is not finite, or beyond HUGE, are left out; n says so.
        """
        self._since = self._since or kt
        self._calls += 1
        for number, field in enumerate(self.fields):
            row = self._now[number]
            a, s = active[field].astype(np.float64), shadow[field].astype(np.float64)
            use = np.abs(s) < HUGE
            if field in masks:
                if field not in self._wet:
                    self._wet[field] = np.broadcast_to(masks[field] != 0, a.shape)
                use &= self._wet[field]
            a[~use] = 0.0
            s[~use] = 0.0
            d = s - a
            row[:7] += use.sum(), a.sum(), s.sum(), np.vdot(a, a), np.vdot(s, s), np.vdot(a, s), np.vdot(d, d)
            if energy and field in energy:
                u, w = energy[field]
                uw = np.where(use, np.multiply(u, w, dtype=np.float64), 0.0)
                row[7:] += np.vdot(uw, a), np.vdot(uw, s)
                self._energy.add(field)

    def record(self, kt: int) -> dict[str, Any] | None:
        """The comparison since the last record, up to step `kt`; rank 0 appends it to halocline.shadow.jsonl. Collective.

        None, and no line, where nothing was added since.
        """
        if not self._calls:
            return None
        limbs = np.stack([exactsum.partial(number[None]) for number in self._now.ravel()])
        sums = np.array([exactsum.total(row) for row in self._allsum(limbs)]).reshape(self._now.shape)
        self._run += sums
        document = {
            "shadow": self.shadow,
            "active": self.active,
            "first_step": self._since,
            "last_step": kt,
            "calls": self._calls,
            "fields": {field: self._score(field, row) for field, row in zip(self.fields, sums, strict=True)},
        }
        if self._rank == 0:
            with open(LOG, "a") as log:
                log.write(json.dumps(document) + "\n")
        self._now[...] = 0.0
        self._since = self._calls = 0
        return document

    def report(self, kt: int) -> list[str]:
        """Lines on this run up to step `kt`, one for each field. Collective."""
        self.record(kt)
        lines = []
        for field, row in zip(self.fields, self._run, strict=True):
            score = self._score(field, row)
            if not score["n"]:
                lines.append(f"shadow '{self.shadow}' of '{self.active}', {field}: no cell to compare")
                continue
            unit = f" {self._units[field]}" if field in self._units else ""
            alike = "undefined" if score["correlation"] is None else f"{score['correlation']:.4f}"
            line = (
                f"shadow '{self.shadow}' of '{self.active}', {field}: correlation {alike}, rms {score['rms_shadow']:.3e} "
                f"({score['rms_active']:.3e}), difference {score['rms_difference']:.3e}, bias {score['bias']:.3e}{unit}"
            )
            if "energy_active" in score:
                line += f", energy input {score['energy_shadow']:.3e} ({score['energy_active']:.3e})"
            lines.append(line)
        return lines

    def _score(self, field: str, row: np.ndarray) -> dict[str, Any]:
        """n; correlation about the means (None where one does not vary); rms; bias = mean(s - a); energy sums."""
        n, a, s, aa, ss, product, dd, uaw, usw = row.tolist()
        if not n:
            return {"n": 0}
        va, vs, cov = aa / n - (a / n) ** 2, ss / n - (s / n) ** 2, product / n - a * s / n**2
        varies = va > 1e-14 * aa / n and vs > 1e-14 * ss / n
        score: dict[str, Any] = {
            "n": int(n),
            "correlation": max(-1.0, min(1.0, cov / math.sqrt(va * vs))) if varies else None,
            "rms_active": math.sqrt(aa / n),
            "rms_shadow": math.sqrt(ss / n),
            "rms_difference": math.sqrt(dd / n),
            "bias": (s - a) / n,
        }
        if field in self._energy:
            score |= {"energy_active": uaw, "energy_shadow": usw}
        return score

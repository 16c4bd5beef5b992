"""The guards between a network's outputs and the ocean: finite, range, rate of change, novelty; and what they do."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from coupler.contract import OutputSpec
from coupler.errors import HaloclineError
from coupler.grid import Box
from coupler.guards.interventions import GUARDS, Interventions, first, gravest
from coupler.settings import NamNet


@dataclass(frozen=True)
class Limits:
    """What an output may be, `low` to `high`, and how far it may go from one call to the next; None: any number."""

    low: float | None = None
    high: float | None = None
    max_step: float | None = None


def limits_of(spec: OutputSpec, group: NamNet, seconds: float) -> Limits:
    """Limits of an output: bounds of the contract within +- rn_clip; rn_rate, else max_rate, times `seconds` between calls.

    Raises HaloclineError when rn_clip leaves nothing of the bounds.
    """
    low, high = spec.bounds or (-np.inf, np.inf)
    if group.rn_clip:
        low, high = max(low, -group.rn_clip), min(high, group.rn_clip)
    if low > high:
        raise HaloclineError(
            f"output '{spec.name}' of network '{group.cn_name}': rn_clip = {group.rn_clip:g} {spec.units} lies outside the bounds "
            f"of the contract, {spec.bounds}.\n  {group.where('rn_clip')}. Raise it, or leave it out."
        )
    rate = group.rn_rate or spec.max_rate
    return Limits(
        float(low) if np.isfinite(low) else None,
        float(high) if np.isfinite(high) else None,
        rate * seconds if rate else None,
    )


class Gauge:
    """One output against its limits; keeps the last good value of every cell (NaN: there is none) where one is needed."""

    def __init__(self, limits: Limits, value: np.ndarray, mask: np.ndarray | None, keep: bool) -> None:
        """value: (k, nj, ni), for shape and type. mask: 0 on land, broadcasts to value; None: no land."""
        kind, span = value.dtype.type, np.finfo(value.dtype)
        self.low = kind(span.min if limits.low is None else max(limits.low, span.min))
        self.high = kind(span.max if limits.high is None else min(limits.high, span.max))
        self.step = None if limits.max_step is None else kind(min(limits.max_step, span.max))
        self.last = np.full(value.shape, np.nan, value.dtype) if keep or self.step is not None else None
        self._scratch = np.empty_like(value) if self.step is not None else None
        self._mask = mask

    def passes(self, value: np.ndarray) -> bool:
        """True if every cell is good, land (0) included; False if `judge` must look closer. NaN fails every comparison.

        2 x 62 x 199 cells take 4 us in float32, 5 in float64; with a rate and the copy of the last value, 10 and 17.
        """
        if not (self.low <= value.min() and value.max() <= self.high):
            return False
        if self.step is None or self.last is None or self._scratch is None:
            return True
        with np.errstate(over="ignore"):
            np.subtract(value, self.last, out=self._scratch)
        return bool(-self.step <= self._scratch.min() and self._scratch.max() <= self.step)

    def judge(self, value: np.ndarray, novel: bool) -> np.ndarray:
        """0 where a cell is good, else 1 + the place of its guard in GUARDS: (k, nj, ni) int8."""
        verdict = np.full(value.shape, 4 if novel else 0, np.int8)
        if self.step is not None and self.last is not None:
            with np.errstate(over="ignore", invalid="ignore"):
                verdict[np.abs(value - self.last) > self.step] = 3
        verdict[self.outside(value)] = 2
        verdict[~np.isfinite(value)] = 1
        if self._mask is not None:
            verdict[np.broadcast_to(self._mask == 0, value.shape)] = 0
        return verdict

    def outside(self, value: np.ndarray) -> np.ndarray:
        """Where a value is not finite, or out of range."""
        return ~((value >= self.low) & (value <= self.high))

    def clipped(self, value: np.ndarray) -> np.ndarray:
        """The nearest good value: infinities to the bound (to 0 where none is set), NaN to 0, then range, then rate."""
        span = np.finfo(value.dtype)
        result = np.where(np.isnan(value), value.dtype.type(0), value)
        result[np.isposinf(value) & (self.high == span.max)] = 0
        result[np.isneginf(value) & (self.low == span.min)] = 0
        np.clip(result, self.low, self.high, out=result)
        if self.step is not None and self.last is not None:
            known = ~np.isnan(self.last)
            with np.errstate(over="ignore"):
                reach = np.clip(result, self.last - self.step, self.last + self.step)
            result[known] = reach[known]
        return result

    def held(self) -> np.ndarray:
        """The last good value of every cell, 0 before there is one."""
        assert self.last is not None
        return np.where(np.isnan(self.last), self.last.dtype.type(0), self.last)


class Guard:
    """Stands between one network and the ocean on this rank.

    fields: output -> field of the ocean. masks: output -> array that is 0 on land (never guarded); absent: no land.
    allsum adds int64 arrays over the coupler ranks. Under 'hold' a cell stays held until the network comes back within
    the limits; a cell that was zeroed or fell back has no rate of change at the next call.
    Raises HaloclineError for rn_novelty < 1 with cn_policy 'clip', which has nothing to clip to.
    """

    def __init__(
        self,
        network: str,
        group: NamNet,
        limits: Mapping[str, Limits],
        fields: Mapping[str, str],
        box: Box,
        rank: int,
        allsum: Callable[[np.ndarray], np.ndarray],
        masks: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        if group.cn_policy == "clip" and group.rn_novelty < 1:
            raise HaloclineError(
                f"network '{network}': rn_novelty = {group.rn_novelty:g} with cn_policy = 'clip': a novel input "
                f"has nothing to clip to. Allowed: 'stop', 'zero', 'hold', 'fallback'.\n  {group.where('rn_novelty')}. Change one."
            )
        self.network, self.group, self.limits, self.fields = network, group, dict(limits), dict(fields)
        self.box, self.rank, self.allsum, self.masks = box, rank, allsum, dict(masks or {})
        self.cells: dict[str, np.ndarray] = {}  # output -> interventions per cell in this run, (k, nj, ni) int32
        self._counts = {name: np.zeros(len(GUARDS), np.int64) for name in self.limits}
        self._before: dict[str, int] = {}
        self._gauges: dict[str, Gauge] = {}
        self._restored: dict[str, np.ndarray] = {}
        self._log = Interventions(network, group, box, rank)

    def check(
        self,
        kt: int,
        values: dict[str, np.ndarray],
        fallback: Callable[[], Mapping[str, np.ndarray]] | None,
        novel: bool,
    ) -> dict[str, np.ndarray | None]:
        """Guard the outputs of step `kt`, (k, nj, ni) each, in place.

        fallback: gives outputs of the standby network; called once, only on ranks that need it. novel: the inputs are too
        far from the trained ones, on all ranks; the policy acts on every wet cell. Returns, per output, where under policy
        'fallback' the ocean's own closure must take over: bool (k, nj, ni), or None for nowhere.
        Raises HaloclineError under policy 'stop', and when more interventions than nn_guard_stop were made on all ranks.
        """
        left: dict[str, np.ndarray | None] = dict.fromkeys(values)
        spare: Mapping[str, np.ndarray] | None = None
        for name, value in values.items():
            gauge = self._gauge(name, value)
            if not novel and gauge.passes(value):
                if gauge.last is not None:
                    np.copyto(gauge.last, value)
                continue
            verdict = gauge.judge(value, novel)
            bad = verdict > 0
            if bad.any():
                if self.group.cn_policy == "stop":
                    self._stop(kt, name, gauge, value, verdict)
                if self.group.cn_policy == "fallback" and fallback is not None and spare is None:
                    spare = fallback()
                self._count(name, verdict)
                self._log.locate(value, verdict)
                used, left[name] = self._remedy(gauge, value, bad, None if spare is None else spare[name])
                value[bad] = used[bad]
                self._log.add(kt, name, self.fields[name], verdict, value)
            self._remember(gauge, value, bad)
        self._log.write(kt)
        if self.group.nn_guard_stop:
            self._check_total(kt)
        return left

    def counters(self) -> dict[str, int]:
        """'output.guard' -> cells of this rank that a guard acted on, with those of `restore`; zeros are left out."""
        result = dict(self._before)
        for name, counts in self._counts.items():
            for guard, number in zip(GUARDS, counts.tolist(), strict=True):
                if number:
                    result[f"{name}.{guard}"] = result.get(f"{name}.{guard}", 0) + number
        return result

    def report(self) -> str:
        """One line on this run, over all ranks, '' where no guard acted. Collective."""
        acted = self._acted(self._total())
        return f"guards of network '{self.network}' ({self.group.cn_policy}): {acted}" if acted else ""

    def state(self) -> dict[str, np.ndarray]:
        """Output -> last good value of every cell, (k, nj, ni), NaN where there is none; only where hold or rate need it."""
        return self._restored | {name: gauge.last for name, gauge in self._gauges.items() if gauge.last is not None}

    def restore(self, arrays: Mapping[str, np.ndarray] | None, counters: Mapping[str, int]) -> None:
        """Continue from a restart, before the first check: `state` on this box, and the counters of all ranks on rank 0."""
        self._restored = dict(arrays or {})
        self._before = dict(counters) if self.rank == 0 else {}

    def _gauge(self, name: str, value: np.ndarray) -> Gauge:
        """The gauge of an output, made at the first call, when its type is known."""
        if name not in self._gauges:
            gauge = Gauge(self.limits[name], value, self.masks.get(name), self.group.cn_policy == "hold")
            last = self._restored.pop(name, None)
            if last is not None and gauge.last is not None:
                if last.shape != value.shape:
                    raise HaloclineError(
                        f"restart: last value of output '{name}' of network '{self.network}' has shape {last.shape}, the output "
                        f"{value.shape}, on {self.box}. Restart with the grid and the artefact that wrote it."
                    )
                np.copyto(gauge.last, last)
            self._gauges[name] = gauge
        return self._gauges[name]

    def _remedy(
        self, gauge: Gauge, value: np.ndarray, bad: np.ndarray, spare: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """What bad cells become, and which of them are left to the ocean."""
        match self.group.cn_policy:
            case "clip":
                return gauge.clipped(value), None
            case "hold":
                return gauge.held(), None
            case "fallback" if spare is not None:
                unusable = gauge.outside(spare)
                left = bad & unusable
                return np.where(unusable, value.dtype.type(0), spare), left if left.any() else None
            case "fallback":
                return np.zeros_like(value), bad
            case _:
                return np.zeros_like(value), None

    def _stop(self, kt: int, name: str, gauge: Gauge, value: np.ndarray, verdict: np.ndarray) -> None:
        """Policy 'stop': the log has the cells, the message the first of them."""
        self._log.locate(value, verdict)
        self._log.add(kt, name, self.fields[name], verdict, None)
        self._log.write(kt)
        limits = self.limits[name]
        match gravest(verdict):
            case "range":
                low = -np.inf if limits.low is None else limits.low
                high = np.inf if limits.high is None else limits.high
                allowed = f"allowed are {low:g} to {high:g} (bounds of the contract, rn_clip)"
            case "rate" if gauge.last is not None:
                last = gauge.last[first(verdict)]
                allowed = (
                    f"it was {last:g}, the largest change is {limits.max_step:g} (max_rate of the contract, rn_rate)"
                )
            case _:
                allowed = "only finite numbers reach the ocean"
        raise HaloclineError(self._log.words(kt, name, self.fields[name], value, verdict, allowed))

    def _remember(self, gauge: Gauge, value: np.ndarray, bad: np.ndarray) -> None:
        """Keep what was delivered; a cell that was zeroed or fell back has no value of this network."""
        if gauge.last is None:
            return
        if self.group.cn_policy == "hold":
            np.copyto(gauge.last, value, where=~bad)
        else:
            np.copyto(gauge.last, value)
            if self.group.cn_policy in ("zero", "fallback"):
                gauge.last[bad] = np.nan

    def _count(self, name: str, verdict: np.ndarray) -> None:
        self._counts[name] += np.bincount(verdict.ravel(), minlength=len(GUARDS) + 1)[1:]
        if name not in self.cells:
            self.cells[name] = np.zeros(verdict.shape, np.int32)
        self.cells[name] += verdict > 0

    def _total(self) -> dict[str, np.ndarray]:
        """Interventions of this run per output and guard, over all ranks. Collective."""
        everywhere = self.allsum(np.concatenate(list(self._counts.values())))
        return dict(zip(self._counts, everywhere.reshape(-1, len(GUARDS)), strict=True))

    def _acted(self, total: Mapping[str, np.ndarray]) -> str:
        rows = [(name, guard, n) for name, row in total.items() for guard, n in zip(GUARDS, row.tolist(), strict=True)]
        return ", ".join(f"'{name}' {guard} {number}" for name, guard, number in rows if number)

    def _check_total(self, kt: int) -> None:
        total = self._total()
        number = sum(int(row.sum()) for row in total.values())
        if number > self.group.nn_guard_stop:
            raise HaloclineError(
                f"the guards of network '{self.network}' acted on {number} cells in this run, over all ranks, more than "
                f"nn_guard_stop = {self.group.nn_guard_stop}; step {kt}: {self._acted(total)}.\n  "
                f"{self.group.where('nn_guard_stop')}. halocline.guard.*.jsonl says where. Look at the inputs there (&namdiag, "
                "cn_diag), use another artefact, or raise nn_guard_stop."
            )

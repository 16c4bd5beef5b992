"""Novelty: the share of a network's inputs that lie outside what it was trained on."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from coupler.contract import InputSpec

CHUNK = 256  # checks whose counts travel together where nothing acts on them


class _Probe:
    """One input, against its percentiles and its valid range."""

    def __init__(self, spec: InputSpec) -> None:
        self.spec = spec
        pairs = [pair for pair in (spec.percentiles, spec.valid_range) if pair]
        self.usual = (max(pair[0] for pair in pairs), min(pair[1] for pair in pairs))
        self.wet: np.ndarray | None = None
        self.cells = 0
        self._buffers: tuple[np.ndarray, np.ndarray] | None = None

    def count(self, x: np.ndarray, mask: np.ndarray | None) -> tuple[int, int, int]:
        """Wet cells outside the usual, those outside the valid range, wet cells; NaN is outside both."""
        if self._buffers is None:
            self._buffers = np.empty(x.shape, bool), np.empty(x.shape, bool)
            if mask is not None:  # static, and it has arrived
                self.wet = np.ascontiguousarray(np.broadcast_to(mask != 0, x.shape))
            self.cells = x.size if self.wet is None else int(np.count_nonzero(self.wet))
        outside = self.cells - self._within(x, self.usual)
        if not outside or self.spec.valid_range is None:
            return outside, 0, self.cells
        return outside, self.cells - self._within(x, self.spec.valid_range), self.cells

    def _within(self, x: np.ndarray, pair: tuple[float, float]) -> int:
        assert self._buffers is not None
        inside, other = self._buffers
        np.greater_equal(x, pair[0], out=inside)
        np.less_equal(x, pair[1], out=other)
        inside &= other
        if self.wet is not None:
            inside &= self.wet
        return int(np.count_nonzero(inside))


class Novelty:
    """Counts, at every call of a network, the wet cells of its inputs outside the percentiles of the contract.

    An input outside its valid range counts too, and is named in the report. threshold: rn_novelty; 1 never acts, and the
    counts are then added over the ranks only every CHUNK checks. allsum adds int64 arrays over the coupler ranks.
    Static inputs, and those without percentiles and valid range, are left out.
    """

    def __init__(
        self,
        network: str,
        specs: Sequence[InputSpec],
        threshold: float,
        allsum: Callable[[np.ndarray], np.ndarray],
    ) -> None:
        self.network, self.threshold, self._allsum = network, threshold, allsum
        self._probes = [_Probe(spec) for spec in specs if not spec.static and (spec.percentiles or spec.valid_range)]
        self._pending: list[tuple[int, list[tuple[int, int, int]]]] = []
        self._sums = np.zeros((len(self._probes), 3), np.int64)  # outside, impossible, wet: over checks and ranks
        self._highest, self._highest_at, self._share = 0.0, 0, 0.0
        self._impossible: dict[str, int] = {}  # input -> first step outside its valid range

    @property
    def watches(self) -> bool:
        """True if there is anything to check."""
        return bool(self._probes)

    def check(self, kt: int, inputs: Mapping[str, np.ndarray], masks: Mapping[str, np.ndarray]) -> bool:
        """True, on all ranks, when the share over the domain reaches the threshold; at threshold 0, when it is above 0.

        inputs: (k, nj, ni) each, this rank's cells without halo. masks: 0 on land, broadcast to the input, static; absent:
        every cell is wet. Collective.
        """
        if not self._probes:
            return False
        counts = [probe.count(inputs[probe.spec.name], masks.get(probe.spec.name)) for probe in self._probes]
        self._pending.append((kt, counts))
        if self.threshold >= 1.0:
            if len(self._pending) >= CHUNK:
                self._gather()
            return False
        self._gather()
        return self._share > 0.0 and self._share >= self.threshold

    def report(self) -> list[str]:
        """Lines on this run: mean and largest share, and every input that left its valid range. Collective."""
        self._gather()
        wet = int(self._sums[:, 2].sum())
        if not wet:
            return []
        mean = int(self._sums[:, 0].sum()) / wet
        trained = any(probe.spec.percentiles for probe in self._probes)
        lines = [
            f"inputs of network '{self.network}': {100 * mean:.3g} % of the cells outside the trained percentiles, at most "
            f"{100 * self._highest:.3g} % (step {self._highest_at})"
        ] * trained
        for probe, (_, impossible, cells) in zip(self._probes, self._sums.tolist(), strict=True):
            if impossible and probe.spec.valid_range:
                low, high = probe.spec.valid_range
                lines.append(
                    f"input '{probe.spec.name}' of network '{self.network}' left its valid range, {low:g} to {high:g} "
                    f"{probe.spec.units}, in {impossible} of {cells} cells, first at step {self._impossible[probe.spec.name]}"
                )
        return lines

    def _gather(self) -> None:
        """Add the pending counts over the ranks."""
        if not self._pending:
            return
        everywhere = self._allsum(np.array([counts for _, counts in self._pending], np.int64))
        for (kt, _), counts in zip(self._pending, everywhere, strict=True):
            wet = int(counts[:, 2].sum())
            self._share = int(counts[:, 0].sum()) / wet if wet else 0.0
            if self._share > self._highest:
                self._highest, self._highest_at = self._share, kt
            for probe, impossible in zip(self._probes, counts[:, 1].tolist(), strict=True):
                if impossible:
                    self._impossible.setdefault(probe.spec.name, kt)
        self._sums += everywhere.sum(axis=0)
        self._pending.clear()

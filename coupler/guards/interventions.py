"""What the guards did: located lines in halocline.guard.RANK.jsonl, and the words of a stop."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from coupler.grid import Box
from coupler.settings import NamNet

GUARDS = ("finite", "range", "rate", "novelty")  # a cell counts under the first that finds fault with it
LISTED = 100  # located lines of one check; the rest is one line with its number


class Interventions:
    """The log of one network's guards on this rank. A verdict is (k, nj, ni) int8: 0, or 1 + the place in GUARDS."""

    def __init__(self, network: str, group: NamNet, box: Box, rank: int) -> None:
        self.network, self.group, self.box, self.rank = network, group, box, rank
        self.path = Path(f"halocline.guard.{rank:04d}.jsonl")
        self._rows: list[dict[str, Any]] = []
        self._places = np.empty((0, 3), np.int64)
        self._got = np.empty(0)
        self._room, self._unlisted = LISTED, 0

    def locate(self, value: np.ndarray, verdict: np.ndarray) -> None:
        """Note what the network returned in the cells to list, before the policy changes them."""
        places = np.argwhere((verdict > 0) & (verdict < 4))
        self._unlisted += max(0, len(places) - self._room)
        self._places = places[: self._room]
        self._got = value[tuple(self._places.T)]
        self._room -= len(self._places)

    def add(self, kt: int, output: str, field: str, verdict: np.ndarray, used: np.ndarray | None) -> None:
        """Lines for the located cells (i, j, k from 1 in the global grid), and one for a novelty of everything.

        used: what the cells became, (k, nj, ni); None under policy 'stop'.
        """
        head = {"network": self.network, "output": output, "field": field, "policy": self.group.cn_policy, "step": kt}
        for (k, j, i), value in zip(self._places.tolist(), self._got.tolist(), strict=True):
            row = {
                "guard": GUARDS[int(verdict[k, j, i]) - 1],
                "i": self.box.i0 + i + 1,
                "j": self.box.j0 + j + 1,
                "k": k + 1,
                "value": value if np.isfinite(value) else str(value),
                "used": None if used is None else float(used[k, j, i]),
            }
            self._rows.append(head | row)
        novel = int(np.count_nonzero(verdict == 4))
        if novel:
            self._rows.append(head | {"guard": "novelty", "cells": novel})

    def write(self, kt: int) -> None:
        """Append what one check did. The networks of a rank share the file, so it is closed again."""
        if not self._rows:
            return
        if self._unlisted:
            self._rows.append({"network": self.network, "step": kt, "not_listed": self._unlisted})
        with open(self.path, "a") as log:
            log.writelines(json.dumps(row) + "\n" for row in self._rows)
        self._rows.clear()
        self._room, self._unlisted = LISTED, 0

    def words(self, kt: int, output: str, field: str, value: np.ndarray, verdict: np.ndarray, allowed: str) -> str:
        """Why policy 'stop' stops: the first cell of the gravest guard. allowed: its limit, in words."""
        where = self.group.where("cn_policy")
        guard = gravest(verdict)
        others = "'zero', 'hold' or 'fallback'" if guard == "novelty" else "'clip', 'zero', 'hold' or 'fallback'"
        advice = f"use another artefact, or let the run go on with {others}."
        if guard == "novelty":
            return (
                f"network '{self.network}' meets inputs that it was not trained on: the share of wet cells outside the contract's "
                f"percentiles reached rn_novelty = {self.group.rn_novelty:g}, step {kt}; guard 'novelty'.\n  {where}: 'stop'. "
                f"Look at the inputs (&namdiag, cn_diag), {advice}"
            )
        k, j, i = first(verdict)
        place = f"({self.box.i0 + i + 1},{self.box.j0 + j + 1},{k + 1})"
        return (
            f"network '{self.network}' returned {value[k, j, i]} in '{output}' at (i,j,k) = {place}, step {kt}, rank {self.rank}; "
            f"guard '{guard}': {allowed}.\n  It goes to the field '{field}'; {np.count_nonzero(verdict)} of the {verdict.size} "
            f"cells of this rank are refused.\n  {where}: 'stop'. Look at the inputs there (&namdiag, cn_diag), {advice}"
        )


def gravest(verdict: np.ndarray) -> str:
    """The name of the gravest guard that found fault."""
    return GUARDS[int(verdict[verdict > 0].min()) - 1]


def first(verdict: np.ndarray) -> tuple[int, int, int]:
    """(k, j, i) of the first cell of the gravest guard."""
    k, j, i = (int(index) for index in np.argwhere(verdict == verdict[verdict > 0].min())[0])
    return k, j, i

"""What the ocean gets, and when: answers at once, one period later, or held over a restart."""

from collections.abc import Mapping

import numpy as np

from coupler.exchange import Plan
from coupler.record import Recorder
from coupler.transport.base import FALLBACK, HELD, INACTIVE, OK, Transport


class Answers:
    """The answers of one exchange to the ocean.

    `now` is what the ocean uses at present, `next` what it uses from the next coupling step on (with a lag only); both
    (levels, nj, ni), both part of the coupler's restart. The networks write to the stack of the plan.
    """

    def __init__(
        self, plan: Plan, transport: Transport, active: bool, first: str, last_step: int, recorder: Recorder
    ) -> None:
        """first: cn_first; active: False sends the neutral tendency instead of the answers; last_step: none is sent for later."""
        self.plan, self.exchange = plan, plan.exchange
        self._transport, self._active, self._first, self.last = transport, active, first, last_step
        self._recorder = recorder
        self.names = {field.name for field in plan.exchange.fields}
        self.now = np.zeros_like(plan.stack)
        self.next = np.zeros_like(plan.stack) if plan.exchange.lag else None
        # x + (-0.0) is x, bit for bit, also for x = -0.0
        self._neutral = None if active else np.full_like(plan.stack, -0.0)

    def begin(self, kt: int, restored: bool) -> None:
        """Send what the ocean uses at the first step `kt` of a run, and with a lag until the next coupling step.

        restored: `restore` has put the state of a restart back.
        """
        exchange = self.exchange
        if exchange.first:
            self._send(self.now, kt, HELD)
        if restored:
            self._first = ""
        if self.next is None or self._first == "wait":
            return
        due = kt + -(kt - 1) % exchange.period
        if due <= self.last:
            self._send(self.next, due, HELD)

    def answer(self, kt: int, fell: bool) -> None:
        """The networks have run at the coupling step `kt`: send now, or for one period later.

        fell: a guard gave cells back to the ocean's own closure.
        """
        exchange, status = self.exchange, FALLBACK if fell else OK
        if self.next is None:
            self.now[...] = self.plan.stack
            self._send(self.plan.stack, kt, status)
            return
        if self._first == "wait":
            self._first = ""
            self.next[...] = self.plan.stack
            self._send(self.plan.stack, kt, status)
        self.now, self.next = self.next, self.now
        self.next[...] = self.plan.stack
        if kt + exchange.period <= self.last:
            self._send(self.plan.stack, kt + exchange.period, status)

    def _send(self, values: np.ndarray, kt: int, status: int) -> None:
        """Send `values` for step `kt` through the stack, which keeps what the networks wrote."""
        self._recorder.answered(self.plan, kt, status if self._active else INACTIVE, values)
        shown = values if self._neutral is None else self._neutral
        if shown is self.plan.stack:
            self._transport.send(self.plan, kt, status if self._active else INACTIVE)
            return
        kept = self.plan.stack.copy()
        self.plan.stack[...] = shown
        self._transport.send(self.plan, kt, status if self._active else INACTIVE)
        self.plan.stack[...] = kept

    def state(self) -> dict[str, np.ndarray]:
        """What a restart keeps: 'now_FIELD' and 'next_FIELD', (levels, nj, ni) of this rank."""
        stacks = {"now": self.now} if self.next is None else {"now": self.now, "next": self.next}
        return {f"{when}_{name}": stack[part] for when, stack in stacks.items() for name, part in self._parts()}

    def restore(self, fields: Mapping[str, np.ndarray]) -> None:
        """Put `state` back."""
        for name, array in self.state().items():
            array[...] = fields[name]

    def _parts(self) -> list[tuple[str, slice]]:
        """Field, and its levels in the stack."""
        parts, first = [], 0
        for field in self.exchange.fields:
            parts.append((field.name, slice(first, first + field.levels)))
            first += field.levels
        return parts

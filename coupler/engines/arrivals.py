"""Fields on a device as they come from the ocean: messages copied in as they are, halos gathered there."""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from coupler.exchange import Plan, places
from coupler.land import land_fills

KINDS = {"f4": torch.float32, "f8": torch.float64}


def kind_of(dtype: np.dtype) -> torch.dtype:
    """Torch's name of float32 or float64."""
    return KINDS[dtype.str[1:]]


class Lane:
    """Copies between host and device beside what is computed; on the CPU each is done before the next begins.

    Host tensors must be pinned, and nobody may touch them, or what they are copied from, before `wait`.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def bring(self, there: torch.Tensor, here: torch.Tensor) -> None:
        """Copy host to device; what is queued for computing after it finds the new values."""
        with self._beside():
            there.copy_(here, non_blocking=True)
        if self._stream is not None:
            torch.cuda.current_stream(self._device).wait_stream(self._stream)

    def fetch(self, here: torch.Tensor, there: torch.Tensor) -> None:
        """Copy device to host, after what is queued for computing so far."""
        if self._stream is not None:
            self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with self._beside():
            here.copy_(there, non_blocking=True)

    def wait(self) -> None:
        """Until all copies, and what they wait for, are done. Errors of the device are raised here."""
        if self._stream is not None:
            self._stream.synchronize()

    def _beside(self) -> Any:
        return nullcontext() if self._stream is None else torch.cuda.stream(self._stream)


def host_tensor(shape: tuple[int, ...], kind: torch.dtype, device: torch.device) -> torch.Tensor:
    """Zeros on the host, pinned where the device is a GPU."""
    return torch.zeros(shape, dtype=kind, pin_memory=device.type == "cuda")


class Arrivals:
    """The stack of one exchange on one device, halos and land filled: a `coupler.exchange.Landing`.

    A transport that is connected hands over all messages in one array: one copy, one gather. From any other (OASIS, a replay,
    another network) the stack itself is copied, unpacked and filled by the CPU.
    """

    def __init__(self, plan: Plan, device: torch.device) -> None:
        self.plan, self.device, self._host = plan, device, True
        self.stack = torch.from_numpy(plan.stack).to(device, copy=True)
        self._lane = Lane(device)
        self.here = torch.empty(0)  # pinned: the messages, or the stack
        self.raw = self.here  # the messages on the device, and the fills
        self._first: Mapping[int, int] | None = None
        self._ready, self._fresh, self._kt = False, False, 0

    @property
    def host(self) -> bool:
        """See Landing; without a connection it is this object that reads the stack."""
        return self._host or self._first is None

    @host.setter
    def host(self, needed: bool) -> None:
        self._host = needed

    def buffer(self, size: int) -> np.ndarray:
        """See Landing."""
        return host_tensor((size,), torch.uint8, self.device).numpy()

    def connect(self, messages: np.ndarray, dtype: np.dtype, first: Mapping[int, int]) -> None:
        """See Landing."""
        numbers = torch.from_numpy(messages).view(kind_of(dtype))
        self.here, self._first = numbers, first
        fields = self.plan.exchange.fields
        # After the messages lies one number for each field: its fill.
        fill = torch.tensor([self.plan.fill.get(field.name, 0.0) for field in fields], dtype=numbers.dtype)
        self.raw = torch.cat([torch.zeros_like(numbers), fill]).to(self.device)

    def arrived(self) -> None:
        """See Landing."""
        self._fresh = True

    def take_static(self, received: Mapping[str, Plan]) -> None:
        """Make the index map, once masks have arrived: the place of each number of the stack among those that came."""
        if self._ready:
            return
        self._ready = True
        if self._first is None:
            self.here = host_tensor(tuple(self.stack.shape), self.stack.dtype, self.device)
            return
        place, sign = places(self.plan, self._first)
        views, slots = {}, {}
        for number, field in enumerate(self.plan.exchange.fields):
            start = self.plan.first_level(field.name)
            views[field.name] = place[start : start + field.levels]
            slots[field.name] = self.here.numel() + number
        numbered = replace(self.plan, stack=place, views=views)
        for land in land_fills(numbered, received, {n: slots[n] for n in slots if n in self.plan.fill}):
            land.apply()
        for name, view in views.items():
            view[view < 0] = slots[name]
        kind = torch.int32 if self.raw.numel() < 2**31 else torch.int64
        self._index = torch.from_numpy(place.ravel()).to(self.device, kind)
        self._sign = torch.from_numpy(sign).to(self.device) if (sign < 0).any() else None
        self._cast = torch.empty_like(self.raw, dtype=self.stack.dtype)

    def load(self, kt: int) -> None:
        """Bring the stack to what has arrived up to step `kt`."""
        if self._first is None:
            if kt != self._kt:
                self.here.numpy()[...] = self.plan.stack
                self._lane.bring(self.stack, self.here)
        elif self._fresh:
            self._lane.bring(self.raw[: self.here.numel()], self.here)
            self.gather()
        self._fresh, self._kt = False, kt

    def gather(self) -> None:
        """Numbers of the messages to their places in the stack: cast, index map, sign."""
        numbers = self.raw if self.raw.dtype == self.stack.dtype else self._cast.copy_(self.raw)
        torch.index_select(numbers, 0, self._index, out=self.stack.view(-1))
        if self._sign is not None:
            self.stack.mul_(self._sign)

    def wait(self) -> None:
        """Until the host may change what it copies from."""
        self._lane.wait()


def arrivals_of(plan: Plan, device: torch.device) -> Arrivals:
    """The stack of a plan on a device, which all networks there share."""
    for landing in plan.landings:
        if isinstance(landing, Arrivals) and landing.device == device:
            return landing
    made = Arrivals(plan, device)
    plan.landings.append(made)
    return made

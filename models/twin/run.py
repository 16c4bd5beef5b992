"""Runs of the twin: its start, its steps, a closure in it, windows whose memory grows with the square root of their length."""

import math
from collections import deque
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import cache, partial

import cftime
import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from coupler.errors import HaloclineError
from models.data.ocean import Switches
from models.data.ocean_restart import Restart
from models.twin.files import CALENDARS
from models.twin.grid import Basin, basin
from models.twin.state import Level, State, Tendency
from models.twin.step import step
from models.twin.switches import Physics, physics

YEAR = {"noleap": 365, "360_day": 360}
RECOMPILE = 64  # graphs of one step: batch sizes times gradient or none; torch's own limit of 8 stops a training
MODULUS = 2147483647  # of the ocean's generator of noise (Park-Miller)

Closure = Callable[[Level], Tendency]


class Twin:
    """The ocean of one namelist in torch.

    dtype: float64 or float32; compiled: the step goes through torch.compile, once in a process for each shape and kind of
    gradient (inductor); forward steps do not, a run has one.
    """

    def __init__(
        self,
        switches: Switches,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
        compiled: bool = False,
    ) -> None:
        """HaloclineError names a switch that the twin does not have."""
        self.switches, self.dtype, self.device = switches, dtype, torch.device(device)
        self.physics: Physics = physics(switches)
        self.basin: Basin = basin(switches, dtype, device)
        self.compiled = compiled

    def to(self, device: torch.device | str) -> "Twin":
        """The same ocean on another device."""
        if torch.device(device) == self.device:
            return self
        moved = Twin(self.switches, self.dtype, device, self.compiled)
        moved.physics = self.physics
        return moved

    def rest(self) -> State:
        """At rest, with the ocean's noise on the thickness, the tracer at its restoring temperature; no member axis."""
        b, name = self.basin, "namusr_def"
        amplitude, seed = float(self.switches[name, "rn_pert"]), int(self.switches[name, "nn_seed"])
        depth = np.array(b.depth)[:, None, None] * np.ones((b.levels, b.nj, b.ni))
        h = torch.as_tensor(
            depth + amplitude * _noise(b.levels, b.nj, b.ni, seed), dtype=self.dtype, device=self.device
        )
        wet = b.tmask.at()
        h = torch.where(wet > 0, h, torch.as_tensor(depth, dtype=self.dtype, device=self.device))
        t = (b.target * wet)[None] if self.physics.ln_tra else torch.zeros_like(h[:1])
        level = Level(torch.zeros_like(h), torch.zeros_like(h), h, t)
        return State(level, level)

    def state(self, restart: Restart) -> State:
        """The state of a restart; its now level twice when it has no before level. HaloclineError for another grid."""
        b = self.basin
        shape = restart.fields["un"].shape
        if shape != (b.levels, b.nj, b.ni):
            raise HaloclineError(
                f"the restart has the shape {shape} (k, j, i), the namelist {self.switches.path} makes {(b.levels, b.nj, b.ni)}."
            )
        return State(self._level(restart, "b" if restart.whole else "n"), self._level(restart, "n"))

    def _level(self, restart: Restart, name: str) -> Level:
        b = self.basin

        def take(stem: str) -> Tensor:
            return torch.as_tensor(restart.fields[stem + name], dtype=self.dtype, device=self.device)

        depth = torch.tensor(b.depth, dtype=self.dtype, device=self.device)[:, None, None]
        wet = b.tmask.at() > 0
        t = torch.where(wet, take("t"), 0.0)[None]
        return Level(
            take("u") * b.umask.at(),
            take("v") * b.vmask.at(),
            torch.where(wet, take("e3t_"), depth),
            t if self.physics.ln_tra else torch.zeros_like(t),
        )

    def restart(self, state: State, kt: int) -> Restart:
        """What the ocean would write after step kt; of a state without member axis."""
        fields = {}
        for name, level in (("b", state.before), ("n", state.now)):
            for stem, values in zip(("u", "v", "e3t_", "t"), level, strict=True):
                array = values.detach().to("cpu", torch.float64).numpy()
                fields[stem + name] = array[0] if stem == "t" else array
        date = self.date(kt)
        seconds = date.hour * 3600 + date.minute * 60 + date.second
        numbers = {
            "kt": float(kt),
            "rdt": self.physics.rn_dt,
            "ndastp": float(date.year * 10000 + date.month * 100 + date.day),
            "nsec_day": float(seconds),
        }
        return Restart(fields, numbers)

    def date(self, kt: int) -> cftime.datetime:
        """Date at the end of step kt."""
        start = int(self.switches["namrun", "nn_date0"])
        calendar = CALENDARS[int(self.switches["namrun", "nn_leapy"])]
        begin = cftime.datetime(start // 10000, start // 100 % 100, start % 100, calendar=calendar)
        return begin + timedelta(seconds=round(kt * self.physics.rn_dt))

    def cosine(self, kt: int) -> float:
        """cos(2 pi year) at the beginning of step kt, the annual cycle of the forcing; 0 where there is none."""
        if self.physics.rn_season == 0:
            return 0.0
        date = self.date(kt - 1)
        days = YEAR.get(date.calendar) or (366 if cftime.is_leap_year(date.year, date.calendar) else 365)
        seconds = date.hour * 3600 + date.minute * 60 + date.second
        return math.cos(2 * math.pi * (date.dayofyr - 1 + seconds / 86400) / days)

    def step(self, state: State, kt: int, added: Tendency | None = None, forward: bool = False) -> State:
        """Step kt. added: tendencies of a closure; forward: before = now, no filter."""
        cosine = torch.tensor(self.cosine(kt), dtype=self.dtype, device=self.device)
        if not self.compiled or forward:
            return step(self.basin, self.physics, state, cosine, added, forward)
        try:
            return _fast()(self.basin, self.physics, state, cosine, added)
        except RuntimeError as error:
            from torch._dynamo.exc import TorchDynamoException  # seconds to import, and only needed here

            if not isinstance(error, TorchDynamoException):
                raise
            raise HaloclineError(
                f"torch.compile cannot build the twin's step: {_reason(error)}.\n  It needs a C++ compiler (g++, or the one that "
                "the variable CXX names) and a folder that it may write (TORCHINDUCTOR_CACHE_DIR). Install one, or do without: "
                "ln_compile = .false. of &namonline, or no --compile."
            ) from None

    def states(
        self,
        state: State,
        first: int,
        steps: int,
        closure: Closure | None = None,
        every: int = 1,
        forward: bool = False,
    ) -> Iterator[State]:
        """The state after each of the steps `first`, `first` + 1, ...; the closure sees the now level of every `every`-th
        step, counted from step 1 as the coupler counts, and its answer is held between.
        """
        held: Tendency | None = None
        for kt in range(first, first + steps):
            if closure is not None and (held is None or (kt - 1) % every == 0):
                held = closure(state.now)
            state = self.step(state, kt, held, forward and kt == first)
            yield state

    def after(
        self,
        state: State,
        first: int,
        steps: int,
        closure: Closure | None = None,
        every: int = 1,
        forward: bool = False,
    ) -> State:
        """The last of `states`."""
        return deque(self.states(state, first, steps, closure, every, forward), maxlen=1)[0]

    def window(
        self,
        state: State,
        first: int,
        steps: int,
        closure: Closure | None = None,
        every: int = 1,
        forward: bool = False,
    ) -> State:
        """The state after `steps` steps, to differentiate: only every sqrt(steps)-th state is kept, the others are made again."""
        length = max(every, every * round(math.sqrt(steps) / every))
        done = 0
        while done < steps:
            count = min(length - (first + done - 1) % every, steps - done)  # a part begins with a call of the closure

            segment = partial(
                self.after,
                first=first + done,
                steps=count,
                closure=closure,
                every=every,
                forward=forward and done == 0,
            )
            state = checkpoint(segment, state, use_reentrant=False)
            done += count
        return state


@cache
def _fast() -> Callable[..., State]:
    """The compiled step of this process. What it made lies in TORCHINDUCTOR_CACHE_DIR for the next one, under a hash of its code,
    shapes and torch's version.
    """
    import torch._dynamo

    torch._dynamo.config.recompile_limit = max(RECOMPILE, torch._dynamo.config.recompile_limit)
    return torch.compile(step, dynamic=False, fullgraph=True)


def _reason(error: Exception) -> str:
    """The last cause, in one line."""
    cause: BaseException = error
    while (inner := getattr(cause, "inner_exception", None) or cause.__cause__) is not None:
        cause = inner
    return f"{type(cause).__name__}: {str(cause).strip().partition(chr(10))[0]}".rstrip(".: ")


def _noise(levels: int, nj: int, ni: int, seed: int) -> np.ndarray:
    """The ocean's numbers in [-1, 1] (levels, nj, ni): functions of the cell, the layer and the seed."""
    k, j, i = np.meshgrid(np.arange(1, levels + 1), np.arange(1, nj + 1), np.arange(1, ni + 1), indexing="ij")
    x = 1 + (seed * 7919 + k * 104729 + j * 15485863 + i * 32452843).astype(np.int64) % (MODULUS - 1)
    for _ in range(4):
        x = x * 16807 % MODULUS
    return 2.0 * x / MODULUS - 1.0

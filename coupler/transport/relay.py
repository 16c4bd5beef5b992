"""Halos between coupler ranks: what one network makes reaches the padded block that another reads, without the ocean."""

import numpy as np
from mpi4py import MPI

from coupler.errors import HaloclineError
from coupler.exchange import Plan, copies, message_length
from coupler.transport.poll import poll

TAG_RELAY = 31005


class Relay:
    """Fills the stack of a plan from the interiors of all coupler ranks, one message per pair of ranks.

    The owner map of the plan is the coupler's own decomposition: its `ocean ranks` are the ranks of `comm`.
    """

    def __init__(self, comm: MPI.Intracomm, plan: Plan, timeout: float) -> None:
        """Tell the other ranks which runs this one wants, and make the messages ready. Collective.

        timeout: longest wait for another rank [s]; the transport sets it anew when the start-up is over. Raises
        HaloclineError when a rank does not come within it.
        """
        self.comm = MPI.Intracomm(comm.Dup())  # messages of two relays never mix
        self.plan, self.timeout = plan, timeout
        self.levels = [field.levels for field in plan.exchange.fields]
        dtype, rank = plan.stack.dtype, self.comm.rank
        self.wanted = self._wanted()
        self.incoming = {peer: np.empty(message_length(plan, peer), dtype) for peer in plan.peers}
        self.outgoing = {
            peer: np.empty(sum(n * len(cells) for n, cells in zip(self.levels, lists, strict=True)), dtype)
            for peer, lists in self.wanted.items()
            if peer != rank
        }
        self.copies = [copy for peer, payload in self.incoming.items() for copy in copies(plan, peer, payload)]
        self.requests = [
            self.comm.Recv_init(payload, peer, TAG_RELAY) for peer, payload in self.incoming.items() if peer != rank
        ] + [self.comm.Send_init(payload, peer, TAG_RELAY) for peer, payload in self.outgoing.items()]

    def update(self, interior: np.ndarray) -> None:
        """Fill `plan.stack` with this rank's interior and, in the halo, those of the others. Collective.

        interior: (levels of all fields, nj, ni), taken in the dtype of the stack. Cells outside closed edges keep their fill.
        Raises HaloclineError when a rank does not answer within the time-out.
        """
        values = np.ascontiguousarray(interior, self.plan.stack.dtype).reshape(sum(self.levels), -1)
        for peer, payload in self.outgoing.items():
            self._pack(values, peer, payload)
        MPI.Prequest.Startall(self.requests)
        rank = self.comm.rank
        if rank in self.incoming:
            self._pack(values, rank, self.incoming[rank])
        if not poll(lambda: MPI.Request.Testall(self.requests), self.timeout):
            raise HaloclineError(
                f"coupler rank {rank} waited longer than rn_timeout = {self.timeout:g} s for the halo of {self._names()} from the "
                "other coupler ranks: one is stuck or gone. Look at its own message; raise rn_timeout when a network needs longer."
            )
        for copy in self.copies:
            if copy.sign == 1:
                copy.block[...] = copy.message
            else:
                np.negative(copy.message, out=copy.block)

    def _pack(self, values: np.ndarray, peer: int, payload: np.ndarray) -> None:
        """Field by field and level by level, the cells that `peer` wants, out of (levels, cells)."""
        level = offset = 0
        for levels, cells in zip(self.levels, self.wanted[peer], strict=True):
            size = levels * len(cells)
            part = payload[offset : offset + size].reshape(levels, len(cells))
            # mode "raise" would go through a buffer; the cells come from the maps and are inside
            np.take(values[level : level + levels], cells, axis=1, out=part, mode="clip")
            level, offset = level + levels, offset + size

    def _wanted(self) -> dict[int, list[np.ndarray]]:
        """Per rank and field, the cells of this rank's interior (flat, j * ni + i) that the rank wants."""
        asked = [self._words(peer) for peer in range(self.comm.size)]
        lengths = np.array([len(words) for words in asked], np.int64)
        told = np.empty_like(lengths)
        self._wait(self.comm.Ialltoall(lengths, told))
        answer = np.empty(int(told.sum()), np.int64)
        self._wait(self.comm.Ialltoallv([np.concatenate(asked), lengths.tolist()], [answer, told.tolist()]))
        ends = np.cumsum(told).tolist()
        return {
            peer: _cells(answer[end - length : end], len(self.levels))
            for peer, (end, length) in enumerate(zip(ends, told.tolist(), strict=True))
            if length
        }

    def _words(self, peer: int) -> np.ndarray:
        """What this rank wants of a peer: per field the number of runs and their (start, length) pairs; empty for nothing."""
        if peer not in self.plan.peers:
            return np.empty(0, np.int64)
        words: list[int] = []
        for number in self.plan.set_of:
            request = self.plan.sets[number].requests.get(peer)
            pairs = (
                [] if request is None else np.stack([request.runs.start, request.runs.length], axis=1).ravel().tolist()
            )
            words += [len(pairs) // 2, *pairs]
        return np.array(words, np.int64)

    def _wait(self, request: MPI.Request) -> None:
        """Poll one collective of the construction."""
        if not poll(request.Test, self.timeout):
            raise HaloclineError(
                f"the coupler ranks do not agree on the halo of {self._names()} within {self.timeout:g} s: a rank is stuck or "
                "gone. Look at its own message."
            )

    def _names(self) -> str:
        """The fields, for a message."""
        return ", ".join(f"'{field.name}'" for field in self.plan.exchange.fields)


def _cells(words: np.ndarray, fields: int) -> list[np.ndarray]:
    """Flat cells per field from the words of one rank."""
    result, at = [], 0
    for _ in range(fields):
        count = int(words[at])
        pairs = words[at + 1 : at + 1 + 2 * count].reshape(count, 2)
        runs = [np.arange(start, start + length) for start, length in pairs.tolist()]
        result.append(np.concatenate(runs) if runs else np.empty(0, np.int64))
        at += 1 + 2 * count
    return result

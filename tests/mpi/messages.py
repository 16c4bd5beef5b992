"""A coupler in thirty lines, through the transports alone: a every step, b and the answer c every three; writes headers down."""

import sys

import numpy as np

from coupler.exchange import Exchange, make_plan
from coupler.fields import by_name
from coupler.grid import decompose
from coupler.timers import Timers
from coupler.transport.base import FALLBACK, HELD, OK
from coupler.transport.mpi import MpiTransport
from coupler.transport.oasis import OasisTransport

first = "first" in sys.argv
transport = (OasisTransport if "oasis" in sys.argv else MpiTransport)(20.0, Timers())
shake = transport.handshake()
fields = by_name(shake.fields, "out") | by_name(shake.fields, "in")
exchanges = [
    Exchange(1, "fast", "to_coupler", (fields["a"],)),
    Exchange(2, "slow", "to_coupler", (fields["b"],), 3),
    Exchange(3, "answer", "to_ocean", (fields["c"],), 3, first=first),
]
part = shake.grid
box, owner = decompose(part.grid, transport.size)[transport.rank], transport.ownership(part)
plans = [make_plan(exchange, part.grid, owner, box, dtype=np.dtype("f8")) for exchange in exchanges]
try:
    transport.define(plans, 64, 20.0)
except Exception as error:
    transport.abort(str(error))
answer, kt, running = plans[2], shake.time.nn_it000, True


def receive(plan, kt):
    header = transport.receive(plan, kt)
    if transport.rank == 0:
        with open("headers.txt", "a") as out:
            print(plan.exchange.name, kt, header.kt, header.restart, header.last, file=out)
    return not (header.last and header.kt != kt)


if first:
    answer.stack[...] = -5.0
    transport.send(answer, kt, HELD)
while running and kt <= shake.time.nn_itend:
    running = receive(plans[0], kt)
    if not running:  # the model has ended: what does the other exchange say?
        receive(plans[1], kt + (1 - kt) % 3)
    elif plans[1].exchange.due(kt):
        running = receive(plans[1], kt)
        answer.stack[...] = kt
        transport.send(answer, kt, {1: OK, 4: HELD, 7: FALLBACK}[kt])
    kt += 1
transport.finish()

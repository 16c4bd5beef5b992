"""The constants of OASIS under both names, with and without the prefix."""

from enum import Enum, IntEnum


class OasisParameters(IntEnum):
    """Directions of a variable and what a put or a get did. Values as in Debian's OASIS3-MCT (OUT = 20, IN = 21)."""

    OASIS_OK = OK = 0
    OASIS_NOTDEF = NOTDEF = -2
    OASIS_VAR_UNCPL = VAR_UNCPL = -1
    OASIS_OUT = OUT = 20
    OASIS_IN = IN = 21
    OASIS_INOUT = INOUT = 2
    OASIS_RECVD = RECVD = 3
    OASIS_SENT = SENT = 4
    OASIS_LOCTRANS = LOCTRANS = 5
    OASIS_TOREST = TOREST = 6
    OASIS_OUTPUT = OUTPUT = 7
    OASIS_SENTOUT = SENTOUT = 8
    OASIS_TORESTOUT = TORESTOUT = 9
    OASIS_FROMREST = FROMREST = 10
    OASIS_INPUT = INPUT = 11
    OASIS_RECVOUT = RECVOUT = 12
    OASIS_FROMRESTOUT = FROMRESTOUT = 13
    OASIS_WAITGROUP = WAITGROUP = 14

    __str__ = Enum.__str__  # OasisParameters.OASIS_SENT, as the genuine one prints


OASIS = OasisParameters

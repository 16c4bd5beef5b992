"""Where the commands print."""

import sys

from rich.console import Console

PLAIN_WIDTH = 200  # columns of a log, so that tables in it are whole


def console() -> Console:
    """As wide as the terminal; PLAIN_WIDTH where the output goes to a file or a pipe."""
    return Console() if sys.stdout.isatty() else Console(width=PLAIN_WIDTH)

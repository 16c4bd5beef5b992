"""Columns of a page on a terminal: as wide as they need to be, or folded between words to the width there is."""

import re
from collections.abc import Iterable, Sequence
from textwrap import wrap

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

LABEL = 14  # columns of the name before a row of text
_PADDING = 2  # columns that stand between two cells of a table


def heading(console: Console, text: str) -> None:
    """An empty line and the title of a part of the page."""
    console.print()
    console.print(f"[bold cyan]{text}[/]")


def rows(console: Console, pairs: Iterable[tuple[str, str]]) -> None:
    """Name and text, one under the other, those without text left out. A word longer than the line (a hash) stays whole."""
    room = max(console.width - LABEL - 3, 1)
    for name, text in pairs:
        lines = wrap(text, room, break_long_words=False, break_on_hyphens=False)
        for n, line in enumerate(lines):
            label = Text(f" {name if n == 0 else '':<{LABEL}}  ", style="dim")
            console.print(label + Text(line, style="none"), highlight=False, soft_wrap=True)


def table(console: Console, names: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    """A table, columns that are empty in every row left out; a file or a pipe gets it without lines."""
    if not cells:
        console.print("  none")
        return
    used = [n for n, name in enumerate(names) if any(row[n] for row in cells)]
    shown = [[names[n] for n in used], *([row[n] for n in used] for row in cells)]
    limits = widths(list(zip(*shown, strict=True)), console.width)
    style = box.SIMPLE_HEAD if console.is_terminal else None
    result = Table(box=style, padding=(0, 1), pad_edge=True, show_edge=False)
    head, *body = [["\n".join(fold(cell, n)) for cell, n in zip(row, limits, strict=True)] for row in shown]
    for n, name in enumerate(head):
        result.add_column(escape(name), no_wrap=True, style="bold" if n == 0 else "")
    for row in body:
        result.add_row(*map(escape, row))
    console.print(result, crop=False, highlight=False, no_wrap=True, overflow="ignore")


def widths(columns: Sequence[Sequence[str]], room: int) -> list[int]:
    """Columns of characters for each column of cells: its longest cell; where `room` is less, the widest gives way first.

    None becomes narrower than its longest word; if that is too much still, than its longest piece of a word (see `fold`).
    """
    found = [max(map(len, column)) for column in columns]
    for pieces in (str.split, _pieces):
        least = [max(len(piece) for cell in column for piece in pieces(cell) or [""]) for column in columns]
        while sum(found) + _PADDING * len(found) > room:
            spare = [n for n, width in enumerate(found) if width > least[n]]
            if not spare:
                break
            found[max(spare, key=lambda n: found[n])] -= 1
    return found


def fold(text: str, width: int) -> list[str]:
    """Lines of at most `width` characters, broken between words, and after '_' in a word that is longer."""
    lines = [""]
    for word in text.split(" "):
        if len(lines[-1]) + 1 + len(word) <= width and lines != [""]:
            lines[-1] += f" {word}"
            continue
        for n, piece in enumerate([word] if len(word) <= width else _pieces(word)):
            if n and len(lines[-1]) + len(piece) <= width:
                lines[-1] += piece
            else:
                lines.append(piece)
    return lines[1:]


def _pieces(text: str) -> list[str]:
    """Where a long word may be broken: sea_ water_ temperature."""
    return re.findall(r"[^\s_]*_+|[^\s_]+", text)

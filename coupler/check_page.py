"""One page of a check: errors first, then what a run would be. Legible at 80 columns and in a log."""

import textwrap
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from coupler.check_document import Document
from coupler.check_layout import picture, sizes
from coupler.grid import Box, Grid

WIDEST = 120  # columns; a wider terminal is not filled
ARROW = {"to_coupler": "ocean -> coupler", "to_ocean": "coupler -> ocean"}


def show(document: Document, console: Console) -> None:
    """Print the page of a document."""
    console.width = min(console.width, WIDEST)
    ranks = document["ranks"]
    over = f", over {document['transport']}" if "transport" in document else ""
    console.print(
        f"[bold]halocline check[/] {escape(document['configuration'])}   {_count(ranks['ocean'], 'ocean rank')}, "
        f"{_count(ranks['coupler'], 'coupler rank')}{over}",
        highlight=False,
    )
    _problems(document, console)
    for part in (_ocean, _order, _contracts, _subdomains, _messages, _computing, _time, _namcouple, _switches):
        part(document, console)
    if document["errors"]:
        words = f"[bold red]{_count(len(document['errors']), 'error')}[/]: a start would stop. They stand at the top."
    else:
        words = "[bold green]sound[/]: a start would pass every check of this page."
    console.print(f"\n{words}", highlight=False)


def _problems(document: Document, console: Console) -> None:
    if not document["errors"]:
        console.print("[green]no errors[/]", highlight=False)
    else:
        console.print(f"\n[bold red]{_count(len(document['errors']), 'error')}[/]", highlight=False)
    for number, problem in enumerate(document["errors"], start=1):
        _item(console, f"{number}.", problem["message"])
    if document["remarks"]:
        _heading(console, _count(len(document["remarks"]), "remark"))
    for text in document["remarks"]:
        _item(console, "-", text)


def _ocean(document: Document, console: Console) -> None:
    ocean = document.get("ocean")
    if ocean is None:
        return
    _heading(console, "ocean")
    grids = "; ".join(f"{g['nx']} x {g['ny']} cells, {g['boundary']}" for g in ocean["grids"])
    first, last = ocean["steps"]
    source = "says so itself" if ocean["described"] else "as &namcpl states"
    _line(console, f"'{ocean['model']}' ({source}): {grids}")
    _line(
        console,
        f"steps {first} to {last} of {ocean['rn_Dt']:g} s, {ocean['dates'][0]} to {ocean['dates'][1]} ({ocean['calendar']})",
    )
    for direction, word in (("out", "offers"), ("in", "accepts")):
        fields = [f"{f['name']} ({f['point']}, {f['levels']})" for f in ocean["fields"] if f["direction"] == direction]
        _line(console, f"{word} (point, levels): {', '.join(fields) or 'nothing'}")


def _switches(document: Document, console: Console) -> None:
    for kind, title in (("coupler", "switches"), ("other", "switches of other groups, which the coupler leaves alone")):
        values = document["switches"][kind]
        if not values:
            continue
        _heading(console, title)
        groups: dict[tuple[str, str], list[Any]] = {}
        for value in values:
            groups.setdefault((value["group"], value["name"]), []).append(value)
        for (group, name), members in groups.items():
            _line(console, f"&{group}" + (f" {name}" if name else ""))
            here = [value for value in members if value["source"] == "namelist_cfg"]
            rows = [
                (
                    v["key"],
                    "= " + (short(v["value"]) if v["key"] == "cn_sha256" else shown(v["value"])),
                    f"line {v['line']}",
                )
                for v in here
            ]
            _columns(console, rows, indent=3)
            for source in ("namelist_ref", "default"):
                rest = [f"{v['key']} = {shown(v['value'])}" for v in members if v["source"] == source]
                if rest:
                    _line(console, f"{source}: {', '.join(rest)}", indent=3)


def _order(document: Document, console: Console) -> None:
    if "order" not in document:
        return
    _heading(console, "order of execution")
    rows = []
    for number, one in enumerate(document["order"], start=1):
        if one["kind"] == "exchange":
            when = "once" if one["period"] is None else f"{one['period']:g} s"
            fields = ", ".join(f"{f['name']}[{f['levels']}]" for f in one["fields"])
            extra = f"; halo {one['halo']}" if one["direction"] == "to_coupler" else ""
            extra += "; one period later" if one["lag"] else ""
            rows.append((str(number), ARROW[one["direction"]], one["name"], when, fields + extra))
            continue
        reads = ", ".join(name if name == field else f"{name}={field}" for name, field in one["reads"].items())
        makes = ", ".join(name if name == field else f"{name}={field}" for name, field in one["makes"].items())
        words = f"{reads or 'nothing'} -> {makes or 'nothing for the ocean'}"
        words += f"; feeds others: {', '.join(one['feeds'])}" if one["feeds"] else ""
        words += f"; falls back on {one['standby']}" if one["standby"] else ""
        role = "network" if one["role"] == "active" else f"network, {one['role']}"
        rows.append((str(number), role, one["name"], f"{one['period']:g} s", words))
    _columns(console, rows, right=(0,), fold=4)


def _contracts(document: Document, console: Console) -> None:
    for one in document.get("contracts", ()):
        _heading(console, f"contract of network '{one['network']}'")
        pinned = "pinned" if one["pinned"] else "not pinned"
        named = f"{one['artefact']}, {pinned}" if one["artefact"] else "no artefact"
        needs = [row["needs"] for row in one["fields"] if "needs" in row]
        halos = [row["halo"] for row in one["fields"] if "halo" in row]
        wants = f"radius {one['radius']}" + (f" + margin {one['margin']}" if one["margin"] else "")
        within = f", needs a halo of {max(needs)}, gets {min(halos)}" if needs else ""
        _line(console, f"{named}, version {one['version']}; {wants}{within}; edges {one['edges']}")
        rows = [("", "network", "units", "at", "field", "units", "at", "levels", "")]
        for row in one["fields"]:
            levels = f"{row['levels']} of {row['field_levels']}" if row["levels"] == "all" else str(row["levels"])
            rows.append(
                (
                    {"input": "in", "output": "out"}[row["role"]], row["name"], row["units"], row["point"], row["field"],
                    row["field_units"], row["field_point"], levels, ", ".join(row["how"]) or "ok",
                )
            )  # fmt: skip
        _columns(console, rows, fold=8, head=True)


def _subdomains(document: Document, console: Console) -> None:
    for part in document.get("subdomains", ()):
        size = document["ocean"]["grids"][part["grid"] - 1]
        which = f" of grid {part['grid']}" if len(document["subdomains"]) > 1 else ""
        _heading(console, f"subdomains{which} (a sign is the rank that owns the place; north is up)")
        grid = Grid(size["nx"], size["ny"], size["boundary"])
        maps = []
        for side in ("ocean", "coupler"):
            boxes = [Box(a - 1, c - 1, b - a + 1, d - c + 1) for a, b, c, d in part[side]]
            maps.append((side, boxes, picture(grid, boxes)))
        if all(rows for _, _, rows in maps):
            left, right = (rows for _, _, rows in maps)
            width = max(len(left[0]), len("ocean"))
            _line(console, f"{'ocean':<{width}}   coupler")
            for one, other in zip_longest(left, right, fillvalue=""):
                _line(console, f"{one:<{width}}   {other}")
        for side, boxes, _ in maps:
            first = "; ".join(f"{n}: {box}" for n, box in enumerate(boxes[:8])) + ("; ..." if len(boxes) > 8 else "")
            _line(console, f"{side}: {sizes(boxes)}; {first}")


def _messages(document: Document, console: Console) -> None:
    if "messages" not in document:
        return
    part = document["messages"]
    _heading(console, f"messages, {part['bits']} bits a number")
    rows = [("exchange", "", "messages", "each time", "per step", "for halos")]
    for one in part["exchanges"]:
        per = bytes_text(one["bytes_per_step"]) if one["bytes_per_step"] else "once"
        way = ARROW[one["direction"]]
        rows.append(
            (one["name"], way, str(one["messages"] or "-"), bytes_text(one["bytes"]), per, f"{one['halo_share']:.0%}")
        )
    rows.append(("all", "", "", "", bytes_text(part["bytes_per_step"]), ""))
    _columns(console, rows, right=(2, 3, 4, 5), head=True)


def _computing(document: Document, console: Console) -> None:
    if "computing" not in document:
        return
    part = document["computing"]
    _heading(console, "devices and memory")
    for net in part["networks"]:
        _line(console, f"'{net['name']}': {net['engine']}; cut and whole fields agree: {net['agree']}")
    _line(console, f"{_count(part['threads'], 'thread')} per coupler rank, {_count(part['cores'], 'core')} here")
    memory = part["memory"]
    calls = "".join(f", a call of '{name}' {bytes_text(size)}" for name, size in memory["calls"].items())
    _line(
        console,
        f"coupler rank {memory['rank']} (the largest): about {bytes_text(memory['total'])}: process and libraries "
        f"{bytes_text(memory['process'])}, fields and messages {bytes_text(memory['arrays'])}{calls}",
    )


def _time(document: Document, console: Console) -> None:
    if "time" not in document:
        return
    part = document["time"]
    _heading(console, "time, measured here in two seconds")
    rows = [("", "block", "per call", "per step")]
    for net in part["networks"]:
        levels, rows_, columns = net["block"]
        block = f"{columns} x {rows_}" + (f" x {levels}" if levels > 1 else "")
        rows.append((f"network '{net['name']}'", block, seconds_text(net["seconds"]), seconds_text(net["per_step"])))
    ocean = part["ocean_step"]
    rows.append(("ocean alone", "", "", f"unknown: {part['unknown']}" if ocean is None else seconds_text(ocean)))
    _columns(console, rows, right=(2,), fold=3, head=True)
    if part["share"] is None:
        _line(console, "share of the networks: unknown, since the ocean's own step is")
        return
    lag = " (a lag hides what fits into the ocean's steps)" if part["lag"] else ""
    _line(
        console,
        f"share of the networks: {part['share']:.0%} of a step{lag}; about {part['steps_per_second']:.3g} steps/s, the run takes "
        f"{seconds_text(part['run_seconds'])}; messages are not counted",
    )


def _namcouple(document: Document, console: Console) -> None:
    if "namcouple" not in document:
        return
    _heading(console, "namcouple, as a run writes it")
    for row in document["namcouple"].splitlines():
        _line(console, row, indent=2)


# --- printing ----------------------------------------------------------------------------------------------------------


def shown(value: Any) -> str:
    """A value as a namelist writes it."""
    if isinstance(value, bool):
        return ".true." if value else ".false."
    if isinstance(value, str):
        return f"'{value}'"
    if isinstance(value, float):
        return f"{value:g}." if value == int(value) and abs(value) < 1e6 else f"{value:g}"
    if isinstance(value, list):
        return ", ".join(shown(item) for item in value) or "''"
    return str(value)


def short(value: str) -> str:
    """The beginning of a hash; the document has all of it."""
    return f"'{value[:16]}...'" if len(value) > 19 else shown(value)


def bytes_text(number: float) -> str:
    """'12.3 kB'."""
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} GB"


def seconds_text(number: float) -> str:
    """'1.23 ms', '45 s', '3.2 min', '1.5 h'."""
    for unit, size, most in (("µs", 1e-6, 1e-3), ("ms", 1e-3, 1.0), ("s", 1.0, 120.0), ("min", 60.0, 7200.0)):
        if number < most:
            return f"{number / size:.3g} {unit}"
    return f"{number / 3600:.3g} h"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _heading(console: Console, words: str) -> None:
    console.print(f"\n[bold]{escape(words)}[/]", highlight=False)


def _line(console: Console, words: str, indent: int = 1) -> None:
    """A paragraph."""
    _item(console, " " * (indent - 1), words)


def _item(console: Console, mark: str, words: str) -> None:
    """A paragraph beside its mark; lines that begin further in, as those of messages, stay so."""
    start = f" {mark} " if mark.strip() else f" {mark}"
    hanging = " " * len(start)
    for number, row in enumerate(words.splitlines()):
        inner = hanging + " " * (len(row) - len(row.lstrip()))
        lines = textwrap.wrap(
            row.strip(), console.width, initial_indent=inner if number else start, subsequent_indent=inner,
            break_on_hyphens=False,
        )  # fmt: skip
        console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)


def _columns(
    console: Console,
    rows: Iterable[Sequence[str]],
    indent: int = 1,
    right: Sequence[int] = (),
    fold: int = 1,
    head: bool = False,
) -> None:
    """Columns without rules; column `fold` takes the lines that are too long, those in `right` are aligned there."""
    table = Table.grid(padding=(0, 2, 0, 0))
    rows = list(rows)
    for number in range(len(rows[0]) if rows else 0):
        table.add_column(
            justify="right" if number in right else "left", no_wrap=number != fold, overflow="fold",
        )  # fmt: skip
    for number, row in enumerate(rows):
        table.add_row(*(Text(cell, style="dim" if head and number == 0 else "") for cell in row))
    if rows:
        console.print(Padding(table, (0, 0, 0, indent), expand=False))

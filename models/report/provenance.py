"""Where a run comes from: code, libraries, machine, times, and the hashes of what it used."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from coupler.versions import versions
from models.report.folder import Folder


@dataclass(frozen=True)
class Provenance:
    """Rows (name, text) of facts, libraries with versions, whether these are the run's own, and the head of the run's log."""

    facts: list[tuple[str, str]]
    libraries: list[tuple[str, str]]
    own: bool
    said: tuple[str, ...]


def provenance(folder: Folder) -> Provenance:
    """What the run recorded of itself; for the rest what holds for the report, and says so."""
    start = folder.event("start")
    facts = [("Run folder", str(folder.path.resolve())), *_times(folder, start)]
    revision = start.get("revision")
    facts.append(("Code revision", str(revision) if revision else "not recorded by the run"))
    facts += _sides(folder, start)
    facts.append(("Compiler", "not recorded by the run"))
    if (folder.path / "halocline.trace.json").is_file():
        facts.append(("Trace", "halocline.trace.json, to be opened in ui.perfetto.dev"))
    facts.append(("Report made", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC by halocline {versions()['halocline']}"))
    said = tuple(line for line in (folder.text("run.log") or "").splitlines() if line.startswith("halocline:"))[:30]
    recorded = start.get("versions")
    libraries = recorded if isinstance(recorded, Mapping) else versions()
    return Provenance(facts, [(str(k), str(v)) for k, v in libraries.items()], libraries is recorded, said)


def _times(folder: Folder, start: Mapping[str, Any]) -> list[tuple[str, str]]:
    facts = []
    began, last = folder.began(), folder.last_sign()
    if isinstance(start.get("time"), str):
        facts.append(("Started", start["time"].replace("T", " ").replace("Z", " UTC")))
    elif began is not None:
        facts.append(("Prepared", f"{_moment(began)} (when its namelist_cfg was written)"))
    if last is not None:
        facts.append(("Last written", _moment(last)))
    return facts


def _sides(folder: Folder, start: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Ocean, coupler, transport and engines, from the log's start event, else from what both sides printed."""
    head = (folder.text("ocean.output") or "").lstrip().split("\n")[0].strip()
    facts = [("Ocean", head[:160] if head else "not recorded (no ocean.output)")]
    coupler = start.get("coupler")
    if isinstance(coupler, Mapping):
        hosts = ", ".join(sorted(set(map(str, coupler.get("hosts", [])))))
        facts.append(
            (
                "Coupler",
                f"{coupler.get('ranks')} rank(s) on {hosts}; transport {start.get('transport', 'not recorded')}",
            )
        )
    engines = {
        f"{one.get('engine')} on {one.get('device')}, {one.get('threads')} thread(s)"
        for one in start.get("networks", [])
        if isinstance(one, Mapping)
    } or set(re.findall(r"\bonnxruntime [\d.]+ on \w+|\btorch [\d.+\w]+ on \w+", folder.text("run.log") or ""))
    if engines:
        facts.append(("Engine", "; ".join(sorted(engines))))
    return facts


def _moment(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"

"""How far a job is, on the screen of `halocline run`."""

import json
import subprocess
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from coupler.progress import PROGRESS_FILE, cells, speed, to_go, words
from coupler.settings import NamLog


def watch(rundir: Path, switches: NamLog, process: subprocess.Popen, console: Console) -> None:
    """Show the progress file of a run folder until its job ends: as a bar on a terminal, else as a line every rn_log seconds."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[speed]}"),
        TextColumn("{task.fields[left]}"),
        TextColumn("{task.fields[guards]}"),
    )
    quiet, spoken, said = switches.cn_verbosity == "quiet", time.perf_counter(), 0
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task("starting", total=None, speed="", left="", guards="")
        while process.poll() is None:
            time.sleep(0.2)
            try:
                shown = json.loads((rundir / PROGRESS_FILE).read_text(encoding="utf-8"))
            except (OSError, ValueError):
                continue
            done, steps = shown["kt"] - shown["first"] + 1, shown["last"] - shown["first"] + 1
            left = f"{to_go(shown)} to go" if shown["steps_per_second"] else ""
            acted = f"guards {cells(shown)}" if cells(shown) else ""
            bar.update(
                task,
                description=shown["date"][:10],
                completed=done,
                total=steps,
                speed=speed(shown),
                left=left,
                guards=acted,
            )
            due = 0 < switches.rn_log <= time.perf_counter() - spoken and shown["kt"] != said
            if due and not (quiet or console.is_terminal):
                spoken, said = time.perf_counter(), shown["kt"]
                console.print(words(shown), highlight=False, soft_wrap=True)

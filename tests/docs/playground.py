"""A folder that looks like the checkout, a shell and a Python session in it: where a page is worked through."""

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

from tests.conftest import MPI_ENVIRONMENT, REPO, end_session
from tests.docs.blocks import NAMELIST, Block, Page, commands, page_of, treatment
from tests.docs.compare import difference, tolerance

LINKED = ("LICENSE", "Makefile", "README.md", "benchmarks", "build", "coupler", "docker", "docs", "fortran_stub",
          "models", "namelists", "pyproject.toml", "tests")  # fmt: skip
RESTART = "runs/demo/gyre_spinup/GYRE_00097200_restart.nc"
TRY = f"halocline run try --link {RESTART} --coupler-ranks 2 --overwrite"
LIMIT = 900  # seconds for one command
SESSION = """
import contextlib, io, json, sys, traceback
names = {"__name__": "__main__"}
for line in sys.stdin:
    said, fault = io.StringIO(), ""
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            exec(compile(json.loads(line), "block", "exec"), names)
        except BaseException:
            fault = traceback.format_exc()
    sys.__stdout__.write(json.dumps([said.getvalue(), fault]) + "\\n")
    sys.__stdout__.flush()
"""


class Fault(AssertionError):
    """A block that does not do what its page says."""


class Playground:
    """The folder of a page; `close` ends whatever still runs in it."""

    def __init__(self, folder: Path, runs: dict[str, Path] | None = None) -> None:
        self.folder = folder
        for name in LINKED:
            (folder / name).symlink_to(REPO / name)
        (folder / ".venv").symlink_to(sys.prefix)
        for name, target in (runs or {}).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).symlink_to(target)
        (folder / "runs").mkdir(exist_ok=True)
        self.said = ""  # by the last command
        self._turn = 0
        self._streams = folder.parent / f"{folder.name}.streams"
        self._streams.mkdir()
        environment = {
            **os.environ,
            **MPI_ENVIRONMENT,
            "COLUMNS": "120",
            "NO_COLOR": "1",
            "TERM": "dumb",
            "LC_ALL": "C.UTF-8",
        }
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
        environment["MPLBACKEND"] = "agg"
        self._environment = environment
        self._shell = self._start(["bash", "--noprofile", "--norc"])
        self._python: subprocess.Popen[bytes] | None = None

    def _start(self, command: list[str], output: int = subprocess.DEVNULL) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            command, cwd=self.folder, env=self._environment, stdin=subprocess.PIPE, stdout=output,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip

    def close(self) -> None:
        for process in (self._shell, self._python):
            if process is not None:
                end_session(process)

    # --- what is done with a block ------------------------------------------------------------------------------------

    def work(self, block: Block) -> str:
        """Do with a block what its treatment says, and return that; Fault where the page is wrong."""
        if "section" in block.markers:
            self.work_section(block)
        for line in block.hidden:
            self.shell(line, block)
        done = treatment(block)
        if done == "written":
            self.write(block)
        elif done == "compared":
            self.compare(block)
        elif done == "tried":
            self.attempt(block)
        elif done == "run":
            getattr(self, f"run_{block.language}")(block)
        return str(done)

    def work_section(self, block: Block) -> None:
        """Work through a section of another page, `page.md#heading`, whose files this block needs."""
        name, _, heading = block.markers["section"].partition("#")
        found = [each for each in page_of(REPO / "docs" / "pages" / name).blocks if each.heading == heading]
        if not found:
            raise Fault(f"{block.where}: no blocks in {block.markers['section']}")
        for each in found:
            self.work(each)

    def write(self, block: Block) -> None:
        mode = "a" if "file+" in block.markers else "w"
        path = self.folder / block.markers.get("file+", block.markers.get("file", ""))
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open(mode, encoding="utf-8") as file:
            file.write(block.text)

    def compare(self, block: Block) -> None:
        source = block.markers["output"]
        if source and not (self.folder / source).exists():
            raise Fault(f"{block.where}: no file {source} to compare with")
        printed = (self.folder / source).read_text(encoding="utf-8", errors="replace") if source else self.said
        if lost := difference(block.text, printed, tolerance(block.markers.get("numbers", "")), whole=False):
            raise Fault(f"{block.where}: {lost}")

    def attempt(self, block: Block) -> None:
        """The try-out ocean with the groups of a block."""
        (self.folder / "try").mkdir(exist_ok=True)
        (self.folder / "try" / "namelist_cfg").write_text(ocean_groups() + "\n" + block.text, encoding="utf-8")
        self.shell(TRY, block, fails=block.markers["try"] == "fails")

    def run_console(self, block: Block) -> None:
        every = commands(block)
        for number, command in enumerate(every):
            self.shell(command.line, block, fails="fails" in block.markers and number == len(every) - 1)
            within = tolerance(block.markers.get("numbers", ""))
            if command.output.strip() and (lost := difference(command.output, self.said, within)):
                raise Fault(f"{block.where}: $ {command.line}\n{lost}")

    def run_sh(self, block: Block) -> None:
        self.shell(f"( set -e\n{block.text})", block)

    def run_python(self, block: Block) -> None:
        if self._python is None:
            self._python = self._start([sys.executable, "-u", "-c", SESSION], subprocess.PIPE)
        assert self._python.stdin and self._python.stdout
        self._python.stdin.write(json.dumps(block.text).encode() + b"\n")
        self._python.stdin.flush()
        answer = self._python.stdout.readline()
        if not answer:
            raise Fault(f"{block.where}: Python died")
        self.said, fault = json.loads(answer)
        if fault and "fails" not in block.markers:
            raise Fault(f"{block.where}: {fault}\n{self.said[-2000:]}")
        if "fails" in block.markers and not fault:
            raise Fault(f"{block.where}: should have failed")
        self.said += fault

    def shell(self, line: str, block: Block, fails: bool = False) -> None:
        """Type a line into the page's shell, in the page's folder; `said` is what it printed."""
        self._turn += 1
        typed, said, code = (self._streams / f"{self._turn}.{kind}" for kind in ("sh", "out", "rc"))
        typed.write_text(f"cd {shlex.quote(str(self.folder))}\n{line}\n", encoding="utf-8")
        order = f". '{typed}' > '{said}' 2>&1 < /dev/null; echo $? > '{code}.part'; mv '{code}.part' '{code}'\n"
        assert self._shell.stdin
        self._shell.stdin.write(order.encode())
        self._shell.stdin.flush()
        limit = time.monotonic() + LIMIT
        while not code.exists() and self._shell.poll() is None and time.monotonic() < limit:
            time.sleep(0.02)
        self.said = said.read_text(encoding="utf-8", errors="replace") if said.exists() else ""
        if not code.exists():
            raise Fault(f"{block.where}: $ {line}\nended the shell, or ran for {LIMIT} s:\n{self.said[-3000:]}")
        ended = int(code.read_text())
        if (ended != 0) != fails:
            wanted = " (should have failed)" if fails else ""
            raise Fault(f"{block.where}: $ {line}\nexit code {ended}{wanted}:\n{self.said[-4000:]}")


def ocean_groups() -> str:
    """The ocean's groups of the try-out page."""
    blocks = page_of(REPO / "docs" / "pages" / "try.md").blocks
    return next(block.text for block in blocks if block.language == "fortran" and NAMELIST.search(block.text))


def work_through(page: Page, ground: Playground, slow: bool) -> dict[str, int]:
    """Every block of a page in order, or only the fast ones; how often each treatment was given."""
    done: dict[str, int] = {}
    for block in page.blocks:
        if "slow" in block.markers and not slow:
            continue
        given = ground.work(block)
        done[given] = done.get(given, 0) + 1
    return done

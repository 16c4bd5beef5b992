"""The command `halocline`."""

import errno
import math
import signal
import sys
import traceback
from contextlib import suppress
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from coupler.errors import HaloclineError

app = typer.Typer(
    name="halocline",
    help="Couple a Fortran ocean model with neural networks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
Cfg = Annotated[Path, typer.Argument(help="folder that holds namelist_cfg, or the file itself")]


def _version(wanted: bool) -> None:
    if wanted:
        from coupler.versions import text

        print(text())
        raise typer.Exit


@app.callback()
def _root(
    show: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version of every library")
    ] = False,
) -> None:
    """Couple a Fortran ocean model with neural networks."""


@app.command()
def couple(cfg: Cfg = Path(".")) -> None:
    """The coupler process: `mpirun -np N model.exe : -np M halocline couple CFG`."""
    from coupler import settings
    from coupler.log import Log

    log = Log()
    switches: settings.Settings | HaloclineError
    try:
        switches = settings.load(cfg)
    except HaloclineError as error:
        switches = error
    # MPI_Init waits for every program of the launch, with the interpreter locked: only a signal ends it.
    signal.alarm(60 if isinstance(switches, HaloclineError) else math.ceil(switches.namcpl.rn_timeout_start))
    from coupler import loop
    from coupler.transport.mpi import abort_job, forget_old_abort

    signal.alarm(0)
    forget_old_abort()
    try:
        if isinstance(switches, HaloclineError):
            raise switches
        loop.couple(switches, log=log)
    except HaloclineError as error:
        abort_job(log.last_words(str(error)), 1)
    except BaseException as error:  # an exit without an abort would leave the ocean waiting
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            words = f"{error}. The disk of {Path.cwd()} takes no more: make room there, or run elsewhere."
            abort_job(log.last_words(words), 1)
        with suppress(OSError):
            Path("halocline.traceback").write_text(traceback.format_exc(), encoding="utf-8")
        words = f"{type(error).__name__}: {error}. This is a defect; the details are in halocline.traceback."
        abort_job(log.last_words(words), 2)


@app.command()
def run(
    cfg: Cfg,
    ocean_ranks: Annotated[int, typer.Option(min=1, help="MPI ranks of the ocean")] = 1,
    coupler_ranks: Annotated[int, typer.Option(min=0, help="MPI ranks of the coupler; 0: the ocean alone")] = 1,
    rundir: Annotated[Path | None, typer.Option(help="where to run; default runs/NAME of CFG")] = None,
    ocean: Annotated[Path | None, typer.Option(help="ocean executable; default cn_exe, or the reference ocean")] = None,
    link: Annotated[list[Path] | None, typer.Option(help="file to link into the run folder (repeat)")] = None,
    transport: Annotated[str | None, typer.Option(help="mpi or oasis, in place of cn_transport")] = None,
    trace: Annotated[
        bool, typer.Option("--trace", help="write halocline.trace.json: what every rank did when")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="prepare the run folder and print the command")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="empty the run folder first")] = False,
) -> None:
    """Prepare a run folder, launch ocean and coupler, show progress, end with a table of where the time went."""
    from coupler import launch
    from coupler.preflight import check_crowd

    if not dry_run:
        check_crowd(ocean_ranks + coupler_ranks)
    job = launch.prepare(cfg, ocean_ranks, coupler_ranks, rundir, ocean, link or [], overwrite, transport, trace)
    if dry_run:
        print(job.command_line())
        return
    launch.run(job, launch.Screen())


@app.command()
def check(
    cfg: Cfg,
    ocean_ranks: Annotated[int, typer.Option(min=1, help="MPI ranks of the ocean")] = 1,
    coupler_ranks: Annotated[int, typer.Option(min=1, help="MPI ranks of the coupler")] = 1,
    ocean: Annotated[Path | None, typer.Option(help="ocean executable; default cn_exe, or the reference ocean")] = None,
    link: Annotated[list[Path] | None, typer.Option(help="file that the run links, too (repeat)")] = None,
    transport: Annotated[str | None, typer.Option(help="mpi or oasis, in place of cn_transport")] = None,
    json: Annotated[bool, typer.Option("--json", help="print a JSON document in place of the page")] = False,
    calibrate: Annotated[bool, typer.Option(help="time networks and ocean for two seconds")] = True,
) -> None:
    """Prove a configuration without running it: one page, errors first; exit code 1 where a start would stop."""
    from coupler import check as checking
    from coupler.check_document import document
    from coupler.check_page import show

    found = document(checking.check(cfg, ocean_ranks, coupler_ranks, ocean, link or [], transport, calibrate))
    if json:
        import json as format_

        print(format_.dumps(found, indent=1))
    else:
        show(found, Console())
    raise typer.Exit(int(not found["ok"]))


@app.command()
def namcouple(
    cfg: Cfg,
    ocean: Annotated[Path | None, typer.Option(help="ocean executable; default cn_exe, or the reference ocean")] = None,
) -> None:
    """Write the namcouple of CFG for OASIS, or merge our fields into the one that is there."""
    from coupler import launch, settings
    from coupler.namcouple import describe, write
    from coupler.programs import executable

    switches = settings.load(cfg)
    folder = settings.config_file(cfg).resolve().parent
    program = executable(ocean, switches.namcpl.cn_exe, folder, over_oasis=True)
    print(f"halocline: {write(switches, describe(program, folder, launch.ENVIRONMENT), folder / 'namcouple')}")


@app.command()
def inspect(
    file: Annotated[Path | None, typer.Argument(help="artefact: .onnx, .pt2, .pt or .py", show_default=False)] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="run the network and measure again what its contract says; trusts FILE")
    ] = False,
    allow: Annotated[list[str] | None, typer.Option(help="Python file that may run (repeat)")] = None,
    namelist: Annotated[bool, typer.Option("--namelist", help="add groups to paste into namelist_cfg")] = False,
    json: Annotated[bool, typer.Option("--json", help="print the contract as JSON, to edit and attach again")] = False,
    schema: Annotated[bool, typer.Option("--schema", help="print the JSON schema of contracts")] = False,
) -> None:
    """Print the contract of an artefact as one page; nothing of it is run, unless to verify."""
    if schema:
        from coupler.artefacts.schema import schema_text

        print(schema_text(), end="")
        return
    from coupler.artefacts import page

    if file is None:
        raise HaloclineError("`halocline inspect` needs an artefact. Name a file, or give --schema.")
    if json:
        print(page.contract_of(file).model_dump_json(indent=1, exclude_none=True))
        return
    raise typer.Exit(page.inspect(file, verify, allow or [], namelist=namelist))


@app.command()
def attach(
    file: Annotated[
        Path, typer.Argument(help="network without a contract: .onnx, .pt2 or .pt; it is run, and trusted")
    ],
    contract: Annotated[Path | None, typer.Argument(help="JSON document with its contract")] = None,
    out: Annotated[Path | None, typer.Option(help="file to write; default STEM.halocline.SUFFIX beside FILE")] = None,
    crop: Annotated[
        int, typer.Option(min=0, help="cells to cut from every side of the outputs of a graph that pads")
    ] = 0,
    replace: Annotated[bool, typer.Option("--replace", help="overwrite OUT, and a contract that is inside")] = False,
    template: Annotated[
        bool, typer.Option("--template", help="print a document to fill in, from an ONNX graph")
    ] = False,
) -> None:
    """Put a contract into a network: what it leaves out is measured, what it states is checked."""
    from coupler.artefacts import attach as attaching

    if template:
        print(attaching.template(file), end="")
        return
    if contract is None:
        raise HaloclineError("`halocline attach` needs a contract. Name a JSON file; --template prints one to fill in.")
    attaching.attach(file, contract, out, crop, replace, Console())


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(help="recording of a run with ln_record = .true.")],
    artefact: Annotated[
        list[str] | None,
        typer.Option(help="network to run in place of the recorded one: FILE or NETWORK=FILE (repeat)"),
    ] = None,
    cfg: Annotated[Path | None, typer.Option(help="namelist in place of the recorded one")] = None,
    out: Annotated[Path, typer.Option(help="file for the answers")] = Path("halocline_replay.nc"),
    steps: Annotated[str, typer.Option(help="FIRST:LAST; default: all that were recorded")] = "",
    trace: Annotated[bool, typer.Option("--trace", help="write a trace: what the coupler did when")] = False,
) -> None:
    """Run the networks on recorded states, without an ocean, and compare the answers with the recorded ones."""
    from coupler import replay as replaying

    replaying.replay(file, cfg, artefact or [], out, steps, Console(), trace)


@app.command()
def client(
    path: Annotated[bool, typer.Option("--path", help="print the folder of the Fortran sources")] = True,
) -> None:
    """Where the Fortran client lies that an ocean model compiles in."""
    print(Path(__file__).parent / "fortran")


@app.command()
def pyoasis(path: Annotated[bool, typer.Option("--path", help="print the folder for PYTHONPATH")] = True) -> None:
    """What to put on PYTHONPATH so that `import pyoasis` finds the API over this machine's OASIS."""
    from coupler.oasis import python_path

    print(python_path())


@app.command()
def reference(
    markdown: Annotated[bool, typer.Option("--markdown", help="print a page of the documentation instead")] = False,
) -> None:
    """Print every switch with its default, as a namelist: the coupler's, and those of other installed packages."""
    from coupler import settings
    from coupler.reference import page

    text = settings.reference_text() + "".join(
        extension.load()() for extension in entry_points(group="halocline.reference")
    )
    print(page(text) if markdown else text, end="")


def main() -> None:
    """Entry point: commands of other packages join, a user's mistake ends in words and exit code 1."""
    for extension in entry_points(group="halocline.commands"):
        extension.load()(app)
    try:
        app()
    except HaloclineError as error:
        print(f"halocline: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()

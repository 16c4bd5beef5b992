"""A contract as one page: what `halocline inspect` prints. Nothing of the artefact is executed."""

import ast
import hashlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from coupler.artefacts import columns
from coupler.contract import Contract, InputSpec, OutputSpec
from coupler.engines.base import read_contract
from coupler.errors import HaloclineError
from coupler.increments import conversions, window_words

WIDTH = 120  # columns of a file or a pipe, so that tables in it are whole
_TENSORS = {
    "named": "one tensor (k, J, I) per field",
    "batch": "stacked, (k, channel, J, I)",
    "channel": "stacked, (1, channel k, J, I)",
    "axis": "stacked, (1, channel, k, J, I)",
    "vector": "stacked columns, (J I, channel k)",
}


def inspect(
    path: Path,
    verify: bool = False,
    python_allow: Sequence[str] = (),
    console: Console | None = None,
    namelist: bool = False,
) -> int:
    """Print the contract of an artefact; returns the exit code, 1 where `verify` found anything wrong.

    Tables are folded between words to the width of the console: the terminal, or WIDTH columns in a file or a pipe.
    `verify` loads and runs the network, which for a torch file is to trust it; a Python file must be in `python_allow`.
    `namelist` adds groups to paste. HaloclineError if the file cannot be read or has no valid contract.
    """
    console = console or _console()
    data = _bytes(path)
    contract = contract_of(path)
    _print_page(console, contract, path, data)
    failures = _print_proof(console, path, python_allow) if verify else 0
    if namelist:
        columns.heading(console, "namelist")
        console.print(namelist_example(contract, path, data), highlight=False, markup=False, soft_wrap=True)
    return int(failures > 0)


def _console() -> Console:
    return Console() if sys.stdout.isatty() or "COLUMNS" in os.environ else Console(width=WIDTH)


def _print_proof(console: Console, path: Path, python_allow: Sequence[str]) -> int:
    from coupler.artefacts.proof import prove  # loads the engines, which a page does not need

    failures = 0
    columns.heading(console, "verified")
    for check in prove(path, python_allow):
        failures += not check.ok
        word = "[green]ok    [/]" if check.ok else "[bold red]FAILED[/]"
        console.print(f"  {word} {check.what:<14} {escape(check.found)}", highlight=False, soft_wrap=True)
    if failures:
        console.print(f"\n[bold red]{failures} of the checks failed[/]: do not run this artefact.", highlight=False)
    return failures


def contract_of(path: Path) -> Contract:
    """The contract of any artefact, nothing of it run: a Python file's CONTRACT is read where it is a plain literal."""
    if path.suffix != ".py":
        return read_contract(path)
    try:
        tree = ast.parse(_bytes(path))
        found = [n.value for n in tree.body if isinstance(n, ast.Assign) and _targets(n) == ["CONTRACT"]]
        document = ast.literal_eval(found[-1])
    except (SyntaxError, ValueError, IndexError, RecursionError):
        raise HaloclineError(
            f"{path}: no CONTRACT = {{...}} that can be read without running the file. Write it as one plain dict of "
            "strings, numbers and lists."
        ) from None
    return Contract.from_dict(document, str(path))


def _targets(node: ast.Assign) -> list[str]:
    return [target.id for target in node.targets if isinstance(target, ast.Name)]


def namelist_example(contract: Contract, path: Path, data: bytes) -> str:
    """Groups &namexc and &namnet that run this network, every field under the network's own name."""
    fields = {
        "static": [spec.name for spec in contract.inputs if spec.static],
        "state": [spec.name for spec in contract.inputs if not spec.static],
        "tendency": [out.name for out in contract.outputs if out.name not in contract.partners],
    }
    lines = []
    for name, names in fields.items():
        if names:
            way = "to_ocean" if name == "tendency" else "to_coupler"
            static = ", ln_static = .true." if name == "static" else ""
            lines += [
                f"&namexc  cn_name = '{name}', cn_dir = '{way}'{static}",
                f"         cn_fields = {_quoted(names)}  /",
            ]
    lines += [
        f"&namnet  cn_name = '{contract.name}', cn_artefact = '{path.name}'",
        f"         cn_sha256 = '{hashlib.sha256(data).hexdigest()}'  /",
    ]
    return "\n".join(lines)


def _quoted(names: Sequence[str]) -> str:
    rows = [", ".join(f"'{name}'" for name in names[n : n + 8]) for n in range(0, len(names), 8)]
    return (",\n" + " " * 21).join(rows)


def _print_page(console: Console, contract: Contract, path: Path, data: bytes) -> None:
    title = f"[bold]{escape(contract.name)}[/] {escape(contract.version)}"
    console.print(f"{title}   {escape(path.name)}, {len(data)} bytes", highlight=False, soft_wrap=True)
    columns.rows(
        console,
        [
            ("family", contract.family),
            ("licence", contract.license),
            ("citation", contract.citation),
            *(
                ("trained on" if n == 0 else "", f"{k}: {v}")
                for n, (k, v) in enumerate((contract.trained_on or {}).items())
            ),
            ("coefficients", ", ".join(f"{name} = {value:g}" for name, value in contract.coefficients.items())),
            ("pin it with", f"cn_sha256 = '{hashlib.sha256(data).hexdigest()}'"),
        ],
    )
    columns.heading(console, "inputs")
    names = ("name", "units", "point", "levels", "fill", "valid range", "0.1 - 99.9 %", "remarks")
    columns.table(console, names, [_input_row(spec) for spec in contract.inputs])
    columns.heading(console, "outputs")
    names = ("name", "units", "point", "levels", "kind", "bounds", "max rate", "remarks")
    columns.table(console, names, [_output_row(spec) for spec in contract.outputs])
    if contract.window is not None or contract.climatology or contract.explained:
        _print_increments(console, contract)
    columns.heading(console, "network")
    layout = contract.level_axis if contract.stacked else "named"
    test = contract.self_test
    columns.rows(
        console,
        [
            ("radius", f"{contract.radius} cells: {2 * contract.radius} rows and columns more come in than go out"),
            ("type", {"f4": "f4 (32 bits)", "f8": "f8 (64 bits)"}[contract.dtype]),
            ("tensors", _TENSORS[layout]),
            ("time level", contract.time_level),
            ("edges", contract.edges),
            ("decomposition", f"{contract.decomposition} between whole and cut fields"),
            ("stochastic", _stochastic(contract)),
            ("noise", ", ".join(f"{n.name} ({n.point}, levels {n.levels})" for n in contract.noise)),
            ("scalars", ", ".join(contract.scalars)),
            ("self-test", f"outputs {test.shape} (k, nj, ni), tolerance {test.tolerance:g}" if test else "none stored"),
        ],
    )


def _print_increments(console: Console, contract: Contract) -> None:
    """Window, climatology, and which part of the variance is the season's and which the state's."""
    columns.heading(console, "increments" if contract.window is not None else "climatology")
    season = contract.climatology
    window = "" if contract.window is None else f"{window_words(contract.window)} ({contract.window:g} s)"
    rows = [
        ("window", window),
        *(("delivered" if n == 0 else "", text) for n, text in enumerate(conversions(contract))),
    ]
    if season:
        terms = f"{season.harmonics} harmonics" if season.harmonics != 1 else "1 harmonic"
        rows.append(
            ("climatology", f"mean and {terms} of a year of {season.year_days:g} days" if season.harmonics else "mean")
        )
    columns.rows(console, rows)
    if contract.explained:
        console.print()
        console.print("  variance explained on test data", style="dim", highlight=False)
        names = ("name", "climatology", "state", "together")
        percent = [
            (name, f"{100 * part.climatology:.1f} %", f"{100 * part.state:.1f} %", f"{100 * (part.climatology + part.state):.1f} %")
            for name, part in contract.explained.items()
        ]  # fmt: skip
        columns.table(console, names, percent)


def _input_row(spec: InputSpec) -> list[str]:
    remarks = [
        "static" if spec.static else "",
        f"pair {spec.vector_pair}" if spec.vector_pair else "",
        f"moved: {spec.interpolate}" if spec.interpolate != "none" else "",
        spec.standard_name,
    ]
    fill = spec.fill if isinstance(spec.fill, str) else f"{spec.fill:g}"
    return [
        spec.name, spec.units, spec.point, str(spec.levels), fill, _range(spec.valid_range), _range(spec.percentiles),
        ", ".join(filter(None, remarks)),
    ]  # fmt: skip


def _output_row(spec: OutputSpec) -> list[str]:
    remarks = [
        f"mask {spec.mask}" if spec.mask else "",
        f"pair {spec.vector_pair}" if spec.vector_pair else "",
        f"1/std in {spec.inv_std}" if spec.inv_std else "",
        f"moved: {spec.interpolate}" if spec.interpolate != "none" else "",
        f"conserves {spec.conserve}" if spec.conserve != "none" else "",
    ]
    rate = "" if spec.max_rate is None else f"{spec.max_rate:g} /s"
    return [
        spec.name, spec.units, spec.point, str(spec.levels), spec.kind, _range(spec.bounds), rate,
        ", ".join(filter(None, remarks)),
    ]  # fmt: skip


def _range(pair: tuple[float, float] | None) -> str:
    return f"{pair[0]:g} .. {pair[1]:g}" if pair else ""


def _stochastic(contract: Contract) -> str:
    if contract.stochastic is None:
        return "no"
    noise = contract.stochastic
    memory = f", {noise.memory:g} s" if noise.memory else ""
    return f"{noise.kind}, {noise.time} in time{memory}, levels {noise.levels}"


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise HaloclineError(f"artefact {path} cannot be read: {error.strerror}. Check the path.") from None

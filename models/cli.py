"""Commands that the models package adds to `halocline`."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add `export`; called through the entry point group `halocline.commands`."""
    app.command("export")(export)


def export(
    family: Annotated[str, typer.Argument(help="family of networks, e.g. zb20")],
    out: Annotated[Path, typer.Option(help="folder for the artefacts")] = Path(),
    dtype: Annotated[str, typer.Option(help="precisions, comma-separated: f8, f4")] = "f8,f4",
    format: Annotated[str, typer.Option(help="formats, comma-separated: onnx, pt2")] = "onnx,pt2",
    kappa: Annotated[float | None, typer.Option(help="coefficient of zb20 [m2]; default: gamma 0.1 at 40 km")] = None,
) -> None:
    """Write a network as artefacts with its contract inside; radius and decomposition are measured."""
    import hashlib

    from coupler.errors import HaloclineError

    try:
        from models.export import export as write
    except ImportError as error:
        raise HaloclineError(
            f"`halocline export` needs {error.name}, which is not installed: `pip install halocline[train]`."
        ) from None
    coefficients = {} if kappa is None else {"kappa": kappa}
    for path in write(family, out, dtype.split(","), format.split(","), **coefficients):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        typer.echo(f"{path}  {path.stat().st_size} bytes  cn_sha256 = '{digest}'")

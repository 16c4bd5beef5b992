"""Options of `halocline science` that are texts, as values."""

from collections.abc import Sequence

from coupler.errors import HaloclineError


def edits(switches: Sequence[str]) -> dict[str, str]:
    """'group.switch=value' as edits. HaloclineError for anything else."""
    for text in switches:
        if "=" not in text or "." not in text.partition("=")[0]:
            raise HaloclineError(f"--set {text}: group.switch=value is needed, such as namdyn_ldf.rn_cs4=0.03.")
    return {name: value for name, _, value in (text.partition("=") for text in switches)}


def steps(text: str) -> list[int]:
    """'3,1' as numbers. HaloclineError for anything else."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdigit() and int(part) for part in parts):
        raise HaloclineError(f"--every {text}: whole numbers of time steps are needed, such as 3,1.")
    return [int(part) for part in parts]

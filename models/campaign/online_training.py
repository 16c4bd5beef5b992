"""The trainings of `halocline science online`: what is missing is trained, starts before those that begin from them."""

from collections.abc import Sequence

from rich.console import Console

from coupler.errors import HaloclineError
from models.campaign.command import command
from models.campaign.online_plan import Plan, Training, lacks
from models.campaign.schedule import side_by_side


def trained(plan: Plan, console: Console) -> dict[str, str]:
    """Train what has no network yet, `jobs` side by side; why a training has failed, by its label.

    A failure ends neither the others nor the table: it is told there. An interrupted training goes on; one of another namelist is
    left alone.
    """
    failed: dict[str, str] = {}

    def one(training: Training, core: int | None) -> None:
        words = ["train", str(training.design.cfg), "--seed", str(training.seed), "--rundir", str(training.folder)]
        try:
            command(words, training.folder.with_name(f"{training.label}.log"), core)
        except HaloclineError as error:
            failed[training.label] = _reason(str(error).replace(f"{training.folder.resolve()}/", ""))

    for title, stage in stages(plan):
        due = [training for training in stage if lacks(training) in ("not trained", "training not ended")]
        if due:
            console.print(f"{title}: {', '.join(training.label for training in due)}", highlight=False, soft_wrap=True)
            side_by_side(due, one, plan.jobs, console, name=lambda training: training.label)
    return failed


def stages(plan: Plan) -> Sequence[tuple[str, list[Training]]]:
    """Trainings from fresh weights, then those that begin from a training."""
    everyone = [training for design in plan.designs for training in plan.of(design)]
    return (
        ("trainings from fresh weights", [training for training in everyone if not training.start]),
        ("trainings that begin from these", [training for training in everyone if training.start]),
    )


def _reason(message: str) -> str:
    """The first line of the command's own message, or else of what is known of its failure."""
    lines = [line.strip() for line in message.splitlines()]
    said = next((line.removeprefix("halocline: ") for line in lines if line.startswith("halocline: ")), lines[0])
    return f"training failed: {said}"

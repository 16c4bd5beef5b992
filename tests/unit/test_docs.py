"""What the documentation says can be typed: namelist groups are read, commands exist, every switch is explained."""

import re
from pathlib import Path

import pytest
import typer

from coupler import settings
from coupler.cli import app
from coupler.errors import HaloclineError
from models.cli import register

REPO = Path(__file__).resolve().parents[2]
PAGES = [REPO / "README.md", *sorted((REPO / "docs" / "pages").rglob("*.md"))]
OURS = re.compile(rf"^\s*&({'|'.join(settings.GROUPS)})\b", re.MULTILINE)


def blocks(text, language="fortran"):
    """Fenced code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


EXAMPLES = {
    f"{page.name}:{number}": block
    for page in PAGES
    for number, block in enumerate(blocks(page.read_text(encoding="utf-8")))
    if OURS.search(block)
}


def read(folder, block):
    """A block as a namelist_cfg of its own."""
    (folder / "namelist_cfg").write_text(block, encoding="utf-8")
    return settings.load(folder)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_read(tmp_path, example):
    """The twin with a misspelt key is refused, so the example is really read."""
    block = EXAMPLES[example]
    read(tmp_path, block)
    key = re.search(r"\b([lnrc]n_\w+) *=", block[OURS.search(block).start() :])[1]
    with pytest.raises(HaloclineError, match=f"unknown key '{key}x'"):
        read(tmp_path, re.sub(rf"\b{key}\b", f"{key}x", block))


@pytest.mark.parametrize("example", [name for name, block in EXAMPLES.items() if "&namexc" in block])
def test_the_fields_of_an_example_travel(tmp_path, example):
    """What a network's switches name is in an exchange of the example, or made by another of its networks."""
    assert not stray(read(tmp_path, EXAMPLES[example]))


def stray(switches):
    """Fields that cn_inputs, cn_outputs, ... name and nobody sends."""
    travel = {name for exchange in switches.namexc for name in exchange.cn_fields}
    named = {
        re.sub(r"\(.*\)", "", field)
        for net in switches.namnet
        for key in ("cn_inputs", "cn_outputs", "cn_flags", "cn_weights", "cn_energy")
        for entry in getattr(net, key)
        for field in entry.partition("=")[2].split("*") or [entry]
        if field
    }
    made = {f"{net.cn_name}." for net in switches.namnet}
    return {name for name in named if name not in travel and name[: name.find(".") + 1] not in made}


def test_a_field_that_nobody_sends_is_seen(tmp_path):
    text = next(block for name, block in EXAMPLES.items() if "cn_weights" in block and name.startswith("guards"))
    assert stray(read(tmp_path, text.replace("'du=e1u*e2u*h'", "'du=e1u*e2u*e3u'"))) == {"e3u"}


def commands():
    """Commands of the command line, those of `models` included."""
    every = typer.Typer()
    every.registered_commands = list(app.registered_commands)
    if not any(command.name == "export" for command in every.registered_commands):
        register(every)
    return {command.name or command.callback.__name__ for command in every.registered_commands}


def named_commands(text):
    """COMMAND of `halocline COMMAND` in code: in backticks, or after a prompt or a path in a fenced block."""
    inline = re.findall(r"`(?:\S*/)?halocline ([a-z]+)", text)
    fenced = [
        name
        for block in re.findall(r"^```[a-z]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        for name in re.findall(r"^(?:[$#] |\S+/)?(?:\S*/)?halocline ([a-z]+)\b", block, re.MULTILINE)
    ]
    return {*inline, *fenced}


@pytest.mark.parametrize("page", [*PAGES, REPO / "CHANGELOG.md"], ids=lambda page: page.name)
def test_a_command_exists(page):
    assert named_commands(page.read_text(encoding="utf-8")) <= commands()


def test_a_command_that_does_not_exist_is_seen():
    assert named_commands("`halocline inspekt FILE`\n```console\n$ halocline replai X\n```") == {"inspekt", "replai"}
    assert not {"inspekt", "replai"} & commands()
    assert {"inspect", "replay", "attach", "run"} <= named_commands((REPO / "README.md").read_text(encoding="utf-8"))


def test_every_command_is_documented():
    said = set().union(*(named_commands(page.read_text(encoding="utf-8")) for page in PAGES))
    hidden = {"demo"}  # `make demo`
    assert commands() - hidden <= said


def unexplained(model, text):
    """Switches of a group that a text does not name."""
    return [key for key in model.model_fields if not re.search(rf"\b{key}\b", text)]


@pytest.mark.parametrize("group", settings.GROUPS)
def test_every_switch_is_in_the_reference(group):
    text = (REPO / "namelists" / "namelist_ref").read_text(encoding="utf-8")
    assert not unexplained(settings.GROUPS[group], text)


@pytest.mark.parametrize("group", settings.GROUPS)
def test_every_switch_is_in_the_docs(group):
    text = "\n".join(
        page.read_text(encoding="utf-8") for page in PAGES if page.name != "switches.md"
    )  # it is generated
    model = settings.GROUPS[group]
    assert not unexplained(model, text)
    gone = next(iter(model.model_fields))
    assert unexplained(model, re.sub(rf"\b{gone}\b", "", text)) == [gone]


def test_links_between_pages_lead_somewhere():
    """Files and headings; a heading that was renamed is seen."""
    for page in PAGES[1:]:
        assert not dead(page.read_text(encoding="utf-8"), page.parent), page.name
    assert dead("[x](guards.md#no-such-heading) [y](nowhere.md)", PAGES[1].parent) == [
        "guards.md#no-such-heading", "nowhere.md"
    ]  # fmt: skip


def dead(text, folder):
    """Targets of relative links without a file or a heading."""
    lost = []
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", text):
        name, _, heading = target.partition("#")
        path = folder / name
        if not path.exists() or (heading and heading not in anchors(path)):
            lost.append(target)
    return lost


def anchors(page):
    """What headings of a page are called in links."""
    words = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w]+", "-", word.lower()).strip("-") for word in words}

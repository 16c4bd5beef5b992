"""Every code block of README and docs is run, compared, tried, compiled, parsed, read, written, or says why not."""

import json
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from coupler.errors import HaloclineError
from coupler.namelist import read_groups
from models import settings as offline
from tests.docs.blocks import NAMELIST, UNIT, Block, Page, commands, parse, treatment
from tests.docs.conftest import PAGES

BLOCKS = {f"{page.name}:{block.line}": block for page in PAGES.values() for block in page.blocks}


def page(text: str) -> Page:
    return parse(text, Path("page.md"), "page.md")


def faults(page: Page) -> list[str]:
    """What a writer has to mend."""
    untreated = [
        f"{block.where}: a block of '{block.language or 'no language'}' that nothing runs. Mark it: <!-- not run: the reason -->"
        for block in page.blocks
        if treatment(block) is None
    ]
    return page.faults + untreated


@pytest.mark.parametrize("name", PAGES)
def test_every_block_is_treated(name):
    """Fences are counted by another rule than they are read by, so none is lost between them."""
    assert not faults(PAGES[name])
    fences = re.findall(r"^ *`{3,}", PAGES[name].path.read_text(encoding="utf-8"), re.MULTILINE)
    nested = sum(block.text.count("```") for block in PAGES[name].blocks)
    assert len(fences) - nested == 2 * len(PAGES[name].blocks)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("```text\noutput of something\n```\n", "line 1: a block of 'text' that nothing runs"),
        ("```\nhalocline run\n```\n", "a block of 'no language'"),
        ("```console\n# apt-get install\n```\n", "a block of 'console'"),
        ("```fortran\ncall cpl_snd(id, kt, t)\n```\n", "a block of 'fortran'"),
        ("<!-- not run: no GPU -->\n\n```text\n```\n", "stands above no block"),
        ("<!-- not run -->\n```text\n```\n", "says nothing after the colon"),
        ("<!-- skip: later -->\n```console\n$ true\n```\n", "is no marker"),
        ("<!-- page: needs luck -->\n", "unknown word 'needs luck'"),
        ("```sh\ntrue\n", "is not closed"),
        ("The command is\n\n    halocline run CFG\n", "line 3: indented code"),
    ],
)
def test_a_block_without_treatment_is_seen(text, fault):
    assert any(fault in found for found in faults(page(text)))


def test_commands_go_over_lines():
    block = page("```console\n$ a \\\n  b\nout\n...\n$ cat > x << 'END'\n1\nEND\n$ c\n```\n").blocks[0]
    assert [(each.line, each.output) for each in commands(block)] == [
        ("a \\\n  b", "out\n...\n"),
        ("cat > x << 'END'\n1\nEND", ""),
        ("c", ""),
    ]


def compiled(block: Block, client: Path, folder: Path, modules: Sequence[Block] = ()) -> str:
    """What the compiler says about a block, in a program of its own where it is a fragment; '' where nothing is wrong.

    modules: sources of the same page that it may use.
    """
    text = block.text
    if "compile" in block.markers:
        declared = "\n".join(part.strip() for part in block.markers["compile"].split(";"))
        text = f"program fragment\nuse mpi\nuse cpl_halocline\n{declared}\n{text}\nend program fragment\n"
    said = ""
    for number, source in enumerate([*(module.text for module in modules), text]):
        (folder / f"block{number}.f90").write_text(source, encoding="utf-8")
        command = ["mpif90", "-fsyntax-only", "-std=f2008", f"-I{client}", "-J", ".", f"block{number}.f90"]
        said = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60).stderr
    return said


def before(block: Block) -> list[Block]:
    """Sources with a file name that stand above a block in its page."""
    above = [each for each in PAGES[block.page].blocks if each.line < block.line and is_source(each)]
    return [each for each in above if "file" in each.markers]


def is_source(block: Block) -> bool:
    """A Fortran program, also one that is written to a file and built by the page."""
    if "not run" in block.markers or "try" in block.markers or block.language != "fortran":
        return False
    return "compile" in block.markers or bool(UNIT.search(block.text) and not NAMELIST.search(block.text))


@pytest.mark.parametrize("name", [name for name, block in BLOCKS.items() if is_source(block)])
def test_fortran_compiles(name, client, tmp_path):
    assert not compiled(BLOCKS[name], client, tmp_path, before(BLOCKS[name]))


def test_fortran_that_does_not_compile_is_seen(client, tmp_path):
    wrong = page("<!-- compile: real :: t(4,4) -->\n```fortran\ncall cpl_snd(id_t, t)\n```\n").blocks[0]
    assert "specific subroutine" in compiled(wrong, client, tmp_path)


@pytest.mark.parametrize("name", [name for name, block in BLOCKS.items() if block.language == "json"])
def test_json_is_json(name):
    if "not run" not in BLOCKS[name].markers:
        json.loads(BLOCKS[name].text)


def checked(block: Block) -> str:
    """What bash says about a script, without running it."""
    return subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, timeout=20).stderr


@pytest.mark.parametrize("name", [name for name, block in BLOCKS.items() if block.language in ("sh", "bash")])
def test_scripts_are_scripts(name):
    assert not checked(BLOCKS[name])


def test_a_script_with_a_mistake_is_seen():
    assert "syntax error" in checked(page("```sh\nif true; do\n```\n").blocks[0])


def offline_groups(block: Block, folder: Path) -> list[str]:
    """Read groups of data, training and evaluation; their names."""
    (folder / "namelist_cfg").write_text(block.text, encoding="utf-8")
    found = [group.name for group in read_groups(folder / "namelist_cfg") if group.name in offline.GROUPS]
    for name in set(found):
        offline.load(folder, offline.GROUPS[name], single=False)
    return found


@pytest.mark.parametrize("name", [name for name, block in BLOCKS.items() if NAMELIST.search(block.text)])
def test_groups_of_data_and_training_are_read(name, tmp_path):
    """Groups of the coupler are read in tests/unit/test_docs.py. The twin with a misspelt key is refused."""
    block = BLOCKS[name]
    if block.language == "fortran" and "not run" not in block.markers and offline_groups(block, tmp_path):
        first = min(block.text.find(f"&{name}") for name in offline.GROUPS if f"&{name}" in block.text)
        key = re.search(r"\b([lnrc]n_\w+) *=", block.text[first:])[1]
        with pytest.raises(HaloclineError, match=f"unknown key '{key}x'"):
            offline_groups(Block("", 0, "fortran", re.sub(rf"\b{key}\b", f"{key}x", block.text)), tmp_path)

"""A page does what it says: its blocks are worked through in order, and what it shows is what was printed."""

from pathlib import Path

import pytest

from tests.docs.blocks import Page, parse, treatment
from tests.docs.conftest import PAGES
from tests.docs.playground import RESTART, Fault, Playground, work_through


def works(page: Page, slow: bool) -> bool:
    """Has the page a block to be worked through, besides those that are read or compiled?"""
    blocks = [block for block in page.blocks if slow or "slow" not in block.markers]
    return any(treatment(block) in ("run", "tried") for block in blocks)


FAST = [name for name, page in PAGES.items() if not page.slow and works(page, slow=False)]
SLOW = [
    name
    for name, page in PAGES.items()
    if works(page, slow=True) and (page.slow or any("slow" in block.markers for block in page.blocks))
]


@pytest.fixture
def ground(tmp_path, request):
    """ground(page): the folder of a page, with what it needs."""
    opened = []

    def open_(page: Page) -> Playground:
        runs = {}
        if "needs demo" in page.words:
            runs["runs/demo"] = request.getfixturevalue("demo")
        elif "needs spinup" in page.words:
            runs[str(Path(RESTART).parent)] = request.getfixturevalue("spinup")
        (tmp_path / "page").mkdir()
        opened.append(Playground(tmp_path / "page", runs))
        return opened[0]

    yield open_
    for each in opened:
        each.close()


def worked(page: Page, slow: bool) -> dict[str, int]:
    """How often each treatment is due."""
    due: dict[str, int] = {}
    for block in page.blocks:
        if slow or "slow" not in block.markers:
            due[str(treatment(block))] = due.get(str(treatment(block)), 0) + 1
    return due


@pytest.mark.mpi
@pytest.mark.parametrize("name", FAST)
def test_a_page_does_what_it_says(name, ground):
    page = PAGES[name]
    assert work_through(page, ground(page), slow=False) == worked(page, slow=False)


@pytest.mark.slow
@pytest.mark.mpi
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("name", SLOW)
def test_a_whole_page_does_what_it_says(name, ground):
    page = PAGES[name]
    assert work_through(page, ground(page), slow=True) == worked(page, slow=True)


def small(text: str) -> Page:
    return parse(text, Path("page.md"), "page.md")


GOOD = """
<!-- test: echo 2 > hidden -->
```console
$ N=3; echo "$N ranks"
3 ranks
$ cat hidden
2
```

<!-- file: try/answer.txt -->
```text
took 2.71 s on 4 cores
the end
```

```python
from pathlib import Path

said = Path("try/answer.txt").read_text()
```

```python
print(said)
```

<!-- output -->
```text
took ... cores
```

<!-- output: try/answer.txt -->
<!-- numbers: 10% -->
```text
took 2.6 s on 4
cores
```

<!-- fails -->
```console
$ halocline inspect nothing.onnx
halocline: artefact nothing.onnx cannot be read: ...
```
"""


def test_a_small_page_works(ground):
    page = small(GOOD)
    assert work_through(page, ground(page), slow=False) == {"run": 4, "written": 1, "compared": 2}


@pytest.mark.parametrize(
    ("right", "wrong", "fault"),
    [
        ("3 ranks\n$ cat", "4 ranks\n$ cat", "not printed"),
        ("$ cat hidden", "$ cat hiddn", "exit code 1"),
        ("took 2.6 s on", "took 2.2 s on", "not printed"),
        ("print(said)", "print(sad)", "NameError"),
        ("<!-- fails -->\n", "", "exit code"),
        ("<!-- output: try/answer.txt -->", "<!-- output: try/anser.txt -->", "no file"),
    ],
)
def test_a_page_that_lies_is_seen(ground, right, wrong, fault):
    assert right in GOOD
    page = small(GOOD.replace(right, wrong))
    with pytest.raises(Fault, match=fault):
        work_through(page, ground(page), slow=False)

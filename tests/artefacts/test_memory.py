"""Memory of a coupler rank: fields, bare engine, and nothing that grows."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CASE = {"artefact": str(ROOT / "models/zoo/zb20_f8.onnx"), "nx": 182, "ny": 149, "levels": 31}
SMALL = CASE | {"nx": 50, "ny": 50, "levels": 2}
CHILD = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import inference, memory
step, kept = inference.Rank.step, []
def hoard(self, kt):
    kept.append(self.state.stack.copy())
    step(self, kt)
if sys.argv[2] == "hoard":
    inference.Rank.step = hoard
document = json.loads(sys.argv[4]) | {"artefact": Path(json.loads(sys.argv[4])["artefact"])}
print(json.dumps(memory.child(sys.argv[3], inference.Case(**document), int(sys.argv[5]), 0.0)))
"""


def measured(kind, case, calls, how="fine", shapes=None):
    """What benchmarks/memory.py measures in a process of its own."""
    command = [sys.executable, "-c", CHILD, str(ROOT / "benchmarks"), how, kind, json.dumps(case), str(calls)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=os.environ | {"SHAPES": json.dumps(shapes)},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def excess(how):
    """Bytes of a rank above four times its haloed fields and what the bare engine takes for the same tensors."""
    rank = measured("rank", CASE, 8, how)
    bare = measured("bare", CASE, 8, shapes=rank["shapes"])
    return rank["took"] - 4 * rank["fields"] - bare["took"]


def test_a_rank_takes_its_fields_and_the_bare_engine():
    assert excess("fine") <= 0


def test_a_rank_that_keeps_its_states_is_caught():
    assert excess("hoard") > 0


@pytest.mark.parametrize(("how", "grows"), [("fine", False), ("hoard", True)])
def test_calls_leave_nothing_behind(how, grows):
    """2900 calls; a leak of 100 bytes a call would pass the limit."""
    assert (measured("leak", SMALL, 3000, how)["grew"] > 290_000) == grows

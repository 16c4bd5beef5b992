"""Every way to fail ends the whole job, soon, with a non-zero exit code and a sentence."""

import pytest

from tests.oasis.conftest import entry, namcouple, native

LEFT = """
c = pyoasis.Component("left")
v = Var("A", pyoasis.SerialPartition(200), OASIS.OUT)
c.enddef()
for t in (0, 10, 20, 30):
    v.put(t, np.zeros(200))
"""
RIGHT = """
c = pyoasis.Component("right")
v = Var("B", pyoasis.SerialPartition(200), OASIS.IN)
c.enddef()
f = np.zeros(200)
for t in (0, 10, 20, 30):
    v.get(t, f)
"""
PAIR = namcouple(entry("A", "B"))


def test_the_healthy_pair_ends_well(job):
    """Also when both end with sys.exit(0), and when one deletes its component early."""
    done = job(PAIR, (1, LEFT + "sys.exit(0)"), (1, RIGHT + "del c, v\nsys.exit()"))
    assert done.rc == 0, done.text


# what happens after the first exchange, exit code, words
EXITS = {
    "raises": ("raise RuntimeError('no more')", 1, "RuntimeError: no more"),
    "sys.exit(1)": ("sys.exit(1)", 1, "left with sys.exit(1)"),
    "sys.exit(7)": ("sys.exit(7)", 7, "left with sys.exit(7)"),
    "sys.exit(text)": ("sys.exit('no more')", 1, "no more"),
    "sys.exit(0)": ("sys.exit(0)", 3, "left before the exchange of 'A' at time 10"),
    "ends": ("break", 3, "left before the exchange of 'A' at time 10"),
    "del": ("del v, c; time.sleep(100)", 3, "left before the exchange of 'A' at time 10"),
    "killed": ("import os; os.kill(os.getpid(), 9)", 137, "signal 9"),
}


@pytest.mark.parametrize("way", EXITS)
def test_a_side_that_leaves_ends_the_job(job, way):
    """The other side waits in a get; it must not wait for ever, and nobody may report success."""
    action, code, words = EXITS[way]
    done = job(PAIR, (1, LEFT + f"    if t == 0:\n        {action}\n"), (1, RIGHT), timeout=20)
    assert done.rc == code, done.text
    assert words in done.stderr
    assert done.seconds < 15


@pytest.mark.parametrize(
    ("action", "code"), [("raise RuntimeError", 1), ("sys.exit(0)", 3), ("sys.exit(2)", 2)], ids=["raises", "0", "2"]
)
def test_a_side_that_leaves_before_enddef_ends_the_job(job, action, code):
    done = job(
        PAIR, (1, LEFT.replace("c.enddef()", action)), (2, RIGHT.replace("Partition(200)", "Partition(0)")), timeout=20
    )
    assert done.rc == code, done.text


def test_without_the_guards_the_job_hangs(job):
    """The broken twin: the same exit, guards taken off."""
    script = LEFT.replace("c.enddef()", "c.enddef(); c.ending.release()").replace(
        "for t", "v.put(0, np.zeros(200)); c.alive = False; sys.exit(0)\nfor t"
    )
    with pytest.raises(pytest.fail.Exception, match="still running"):
        job(PAIR, (1, script), (1, RIGHT), timeout=2)


def test_a_program_without_component_is_found_out(job):
    """It holds the launch up only for a while."""
    done = job(PAIR, (1, LEFT), (1, "from mpi4py import MPI; time.sleep(100)"), timeout=20)
    assert done.rc == 1, done.text
    assert "not every process of the launch made its Component within 2 s" in done.stderr


def test_an_abort_inside_oasis_does_not_report_success(job):
    """MPI_Abort(comm, 0) of the library becomes 1, and the reason in its debug file becomes visible."""
    wrong = LEFT.replace("v.put(t,", "c.library.put(v.ids[0], t + 40,")
    done = job(PAIR, (1, wrong), (1, RIGHT), timeout=20)
    assert done.rc == 1, done.text
    assert "model time beyond namcouple maxtime" in done.stderr
    assert "debug.root.01" in done.stderr


def test_an_abort_in_the_start_of_oasis_does_not_report_success(job, tmp_path):
    """The reason is then in nout.000000; stderr is redirected at that moment and still gets the words."""
    broken = "import coupler.oasis.component as m\nm.own_name = lambda *_: 'nobody'\n"
    done = job(native(entry("A", "B")), (1, broken + LEFT), (1, broken + RIGHT), timeout=20)
    assert done.rc == 1, done.text
    assert "model not found in namcouple" in done.stderr


# Statements after the last exchange of the left side, and the words of their refusal.
WRONG_CALLS = {
    "v.put(40, f)": "'A' at time 40: allowed are 0 to 39",
    "v.put(45, f)": "'A' at time 45: allowed are 0 to 39",
    "v.put(-10, f)": "'A' at time -10: allowed are 0 to 39",
    "v.put(29, f)": "already exchanged at time 30",
    "v.put(30.0, f)": "the time 30.0 is not an integer",
    "v.put(30, np.zeros(201))": "has shape (201,); the partition has 200 points",
    "v.put(30, np.zeros((200, 2)))": "has shape (200, 2); the partition has 200 points",
    "v.put(30, np.zeros(200, int))": "the field is a int64 array; a numpy array of floats is needed",
    "v.get(30, f)": "'A' was defined as OASIS.OUT",
    "v.get(30, [0.0] * 200)": "the field is a list",
    "v.put(30, f, f)": "fracwgt and write_restart exist from OASIS3-MCT 5",
    "w.put(30, f)": "'Z' is not in namcouple",
    "pyoasis.Component('again')": "has made a Component already",
    "Var('A', v.partition, OASIS.OUT)": "'A' is defined after enddef()",
    "c.enddef()": "enddef() is called a second time",
    "c.get_intracomm('nobody')": "component 'nobody' is not part of this run (left, right)",
    "pyoasis.asarray(f, int)": "asarray: dtype",
    "pyoasis.OrangePartition([0.5], [1])": "offsets: integers are needed",
    "pyoasis.OrangePartition([0, 1], [1])": "2 offsets and 1 extents",
    "pyoasis.ApplePartition(-1, 5)": "negative global index -1",
    "pyoasis.SerialPartition(200, 199)": "the grid has 199 points",
    "pyoasis.check_types([int], ['a'])": "the argument 'a' is a str; int is needed",
}


def test_wrong_calls_are_refused_in_words(job):
    """OASIS itself would abort without words and with exit code 0, or exchange nothing."""
    left = LEFT.replace("c.enddef()", "w = Var('Z', v.partition, OASIS.OUT); assert not w.is_active\nc.enddef()")
    left += f"""
f = np.zeros(200)
for call in {list(WRONG_CALLS)!r}:
    try:
        eval(call)
        say(call, "was accepted")
    except pyoasis.PyOasisException as error:
        say(call, "->", error)
"""
    done = job(PAIR, (1, left), (1, RIGHT))
    assert done.rc == 0, done.text
    for call, words in WRONG_CALLS.items():
        answer = next(line for line in done.stdout.splitlines() if line.startswith(f"{call} "))
        assert words in answer


REFUSALS = {
    "exchange left out": (LEFT.replace("(0, 10, 20, 30)", "(0, 20)"), "was left out at time 10"),
    "put before enddef": (
        LEFT.replace("c.enddef()", "v.put(0, np.zeros(200))"),
        "call enddef() of the component before",
    ),
    "variable twice": (LEFT.replace("c.enddef()", "Var('A', v.partition, OASIS.OUT)"), "'A' is defined twice"),
    "long field name": (LEFT.replace('"A"', '"A" * 129'), "has 129 letters, OASIS keeps 128"),
    "other bundle": (LEFT.replace("OASIS.OUT", "OASIS.OUT, 2"), "'A' of 'left' has levels 2, 'B' of 'right' has 1"),
    "grid given otherwise": (
        LEFT.replace("Partition(200)", "Partition(200, 240)"),
        "'A' of 'left' has global_size 240, 'B' of 'right' has 200",
    ),
    "grid too small for the other side": (
        LEFT.replace("Partition(200)", "Partition(150, 150)"),
        "'B' of 'right' holds the global index 199, but 'left' gives the grid 150 points",
    ),
    "coupled=False": (LEFT.replace('"left"', '"left", False'), "coupled=False needs OASIS3-MCT 4"),
    "own communicator": (
        LEFT.replace('"left"', '"left", True, __import__("mpi4py").MPI.COMM_SELF'),
        "always uses COMM_WORLD",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_wrong_definition_is_refused_in_words(job, name):
    script, words = REFUSALS[name]
    right = RIGHT.replace("Partition(200)", "Partition(200, 200)") if name == "grid given otherwise" else RIGHT
    done = job(PAIR, (1, script), (1, right), timeout=20)
    assert done.rc == 1, done.text
    assert words in done.stderr


@pytest.mark.parametrize("dialect", [namcouple, native], ids=["translated", "native"])
def test_a_field_that_the_other_side_never_defines_is_named(job, dialect):
    """OASIS would return 0 from every put and exchange nothing."""
    left = LEFT.replace("c.enddef()", 'w = Var("C", v.partition, OASIS.OUT); c.enddef()')
    done = job(dialect(entry("A", "B"), entry("C", "D")), (1, left), (1, RIGHT), timeout=20)
    assert done.rc == 1, done.text
    assert "'C' (OUT) is coupled with 'D' in namcouple line" in done.stderr
    assert "no component receives 'D'" in done.stderr


def test_different_grid_sizes_over_a_native_namcouple_end_the_job(job):
    """The sides cannot ask each other then; MCT stops, and not with success."""
    left = LEFT.replace("Partition(200)", "Partition(200, 240)")
    done = job(native(entry("A", "B")), (1, left), (1, RIGHT), timeout=20)
    assert done.rc not in (0, None), done.text


def test_ranks_that_define_different_variables_are_refused(job):
    left = LEFT.replace('"A"', '["A", "C"][c.localcomm.rank]')
    done = job(namcouple(entry("A", "B"), entry("C", "D")), (2, left), (1, RIGHT), timeout=20)
    assert done.rc == 1, done.text
    assert "All ranks must define the same variables" in done.stderr


def test_ten_components_are_refused(job):
    script = 'pyoasis.Component("model" + str(__import__("mpi4py").MPI.COMM_WORLD.rank))'
    done = job(PAIR, (10, script), timeout=20)
    assert done.rc == 1, done.text
    assert "couples at most 9" in done.stderr


def test_nine_components_with_long_names_are_fine(job):
    script = """
from mpi4py import MPI
r = MPI.COMM_WORLD.rank
c = pyoasis.Component(f"component_{r}")
p = pyoasis.SerialPartition(4)
out = Var(f"OUT{r}", p, OASIS.OUT)
into = Var(f"IN{r}", p, OASIS.IN)
c.enddef()
out.put(0, np.full(4, float(r)))
f = np.zeros(4)
into.get(0, f)
assert (f == (r - 1) % 9).all()
say("right")
"""
    text = namcouple(*(entry(f"OUT{r}", f"IN{(r + 1) % 9}", line2="4 1 4 1 a b LAG=0") for r in range(9)), runtime=10)
    done = job(text, (9, script), timeout=30)
    assert done.rc == 0, done.text
    assert done.stdout.count("right") == 9


def test_over_a_hundred_partitions_are_refused(job):
    script = """
c = pyoasis.Component("left")
fields = [Var(f"A{k}", pyoasis.ApplePartition(0, 200 - k), OASIS.OUT) for k in range(101)]
c.enddef()
"""
    other = script.replace("left", "right").replace("A{k}", "B{k}").replace("OASIS.OUT", "OASIS.IN")
    done = job(namcouple(*(entry(f"A{k}", f"B{k}") for k in range(101))), (1, script), (1, other), timeout=20)
    assert done.rc == 1, done.text
    assert "needs a further partition; OASIS holds 100" in done.stderr


def test_an_index_space_of_over_two_thousand_million_points_is_refused(job):
    left = LEFT.replace("Partition(200)", "Partition(200, 2 * 10**8)").replace("OASIS.OUT", "OASIS.OUT, 20")
    right = RIGHT.replace("OASIS.IN", "OASIS.IN, 20")
    done = job(PAIR, (1, left), (1, right), timeout=20)
    assert done.rc == 1, done.text
    assert "exceed OASIS' index space" in done.stderr


def test_a_namcouple_for_two_models_needs_two_processes(job):
    done = job(native(entry("A", "B")), (1, LEFT), timeout=20)
    assert done.rc == 1, done.text
    assert "couples 2 models (left, right), this launch has 1 process" in done.stderr


def test_a_missing_restart_file_ends_the_job(job):
    text = namcouple(entry("A", "B", line2="10 20 10 20 a b LAG=10"))
    done = job(text, (1, LEFT), (1, RIGHT), timeout=20)
    assert done.rc == 1, done.text
    assert "'A' has LAG=10 and needs the restart file 'rst.nc'" in done.stderr


def test_a_missing_namcouple_is_named(job, tmp_path):
    script = 'import os; os.remove("namcouple"); pyoasis.Component("left")'
    done = job(PAIR, (1, script), timeout=20)
    assert done.rc == 1, done.text
    assert "OASIS needs a file 'namcouple' in the run folder" in done.stderr

"""What arrives is what was sent, for any partition on either side, any number of ranks, levels and order of axes."""

import pytest

from tests.oasis.conftest import entry, namcouple, native

# 200 points; value of a point = its global index + 1000 * time (+ 1e6 * level).
SENDER = """
c = pyoasis.Component("toy_sender")
n, r = c.localcomm.size, c.localcomm.rank
rows = np.array_split(np.arange(20), n)[r]
box = pyoasis.BoxPartition(int(rows[0]) * 10, 10, len(rows), 10)
index = (rows[:, None] * 10 + np.arange(10)).ravel().astype(float)
v = Var("F_OUT", box, OASIS.OUT)
c.enddef()
for t in range(0, 40, 5):
    info = v.put(t, index + 1000 * t)
    assert info == (OASIS.SENT if t % 10 == 0 else OASIS.OK), (t, info)
"""

RECEIVER = """
c = pyoasis.Component("toy_receiver")
n, r = c.localcomm.size, c.localcomm.rank
{partition}
v = Var("F_IN", p, OASIS.IN)
c.enddef()
assert v.unsent_count == 0 and v.cpl_freqs == [10] and v.is_active
f = np.full(p.local_size, -1.0)
for t in range(0, 40, 5):
    before = f.copy()
    info = v.get(t, f)
    expected = index + 1000 * t if t % 10 == 0 else before
    assert info == (OASIS.RECVD if t % 10 == 0 else OASIS.OK), (t, info)
    assert (f == expected).all(), (t, f, expected)
say("right", r)
"""

PARTITIONS = {
    "random points, repeated": """
rng = np.random.default_rng(r)
index = rng.integers(0, 200, 90)
p = pyoasis.OrangePartition([int(i) for i in index], [1] * 90)
""",
    "decreasing segments": """
index = np.concatenate([np.arange(s, s + 5) for s in range(195, -1, -5)])
p = pyoasis.OrangePartition(list(range(195, -1, -5)), [5] * 40, 200)
""",
    "box with halo": """
index = np.concatenate([np.arange(10 * j, 10 * j + 10) for j in range(max(0, 6 * r - 2), min(20, 6 * r + 8))])
p = pyoasis.BoxPartition(int(index[0]), 10, len(index) // 10, 10)
""",
    "apple": """
cut = [200 * k // n for k in range(n + 1)]
index = np.arange(cut[r], cut[r + 1])
p = pyoasis.ApplePartition(cut[r], cut[r + 1] - cut[r])
""",
    "points, counted from 1": """
index = np.arange(200)[::-1][r::n]
p = pyoasis.PointsPartition((index + 1).tolist())
""",
    "serial": """
index = np.arange(200 if r == 0 else 0)
p = pyoasis.SerialPartition(200 if r == 0 else 0)
""",
}


@pytest.mark.parametrize(
    ("partition", "ranks"),
    [*((name, (2, 3)) for name in PARTITIONS), ("random points, repeated", (3, 2)), ("box with halo", (3, 1))],
)
def test_any_partition_receives_its_points(job, partition, ranks):
    """Receivers outnumber senders in most cases: where OASIS deadlocks over segments that do not increase."""
    done = job(
        namcouple(entry("F_OUT", "F_IN")),
        (ranks[0], SENDER),
        (ranks[1], RECEIVER.format(partition=PARTITIONS[partition])),
    )
    assert done.rc == 0, done.text
    assert done.stdout.count("right") == ranks[1]
    assert done.stderr == ""  # OASIS' own lines to stderr are hidden


def test_unsorted_segments_handed_on_deadlock(job):
    """The broken twin: with the sorting taken out, the same run hangs or dies."""
    unsorted = """
import coupler.oasis.partition as partition
from coupler.oasis.layout import Layout
partition.make_layout = lambda s, e: Layout(int(e.sum()), s, e)
index = np.concatenate([np.arange(s, s + 5) for s in range(195, -1, -5)])
p = pyoasis.OrangePartition(list(range(195, -1, -5)), [5] * 40, 200)
"""
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        done = job(namcouple(entry("F_OUT", "F_IN")), (2, SENDER), (3, RECEIVER.format(partition=unsorted)), timeout=2)
        assert done.rc == 0


BUNDLE_SENDER = """
c = pyoasis.Component("left")
n, r = c.localcomm.size, c.localcomm.rank
cols = np.array_split(np.arange(10), n)[r]
box = pyoasis.BoxPartition(int(cols[0]), len(cols), 20, 10, 200)
index = (np.arange(20)[None, :] * 10 + cols[:, None]).astype(float)  # (i, j)
field = np.stack([index + 1e6 * k for k in range(3)], axis=2)        # (i, j, k)
v = Var("T_OUT", box, OASIS.OUT, bundle_size=3)
c.enddef()
for t in np.arange(0, 40, 10):
    assert v.put_inquire(t) == OASIS.SENT
    v.put(t, (pyoasis.asarray if t % 20 else np.ascontiguousarray)(field + 1000 * t))
"""
BUNDLE_RECEIVER = """
c = pyoasis.Component("right")
n, r = c.localcomm.size, c.localcomm.rank
rows = np.array_split(np.arange(20), n)[r]
box = pyoasis.BoxPartition(int(rows[0]) * 10, 10, len(rows), 10)
index = (rows[None, :] * 10 + np.arange(10)[:, None]).astype(float)
expected = np.stack([index + 1e6 * k for k in range(3)], axis=2)
v = Var("T_IN", box, OASIS.IN, 3)
c.enddef()
f = np.zeros((10, len(rows), 3), order="F")
g = np.zeros((10 * len(rows), 3))
h = np.zeros((10, len(rows), 3), np.float32)
for t, a in ((0, f), (10, g), (20, h), (30, f)):
    v.get(t, a)
    want = (expected + 1000 * t).astype(a.dtype)
    assert (a == want.reshape(a.shape, order="F")).all(), (t, a)
say("right", len(v.ids))
"""


@pytest.mark.parametrize("form", ["packed", "levels"])
def test_a_bundle_travels_in_either_form(job, form):
    """(i, j, k) in Fortran or C order, 64 or 32 bits; the namcouple decides between one field and one per level."""
    names = [("T_OUT", "T_IN")] if form == "packed" else [(f"T_OUT_00{k}", f"T_IN_00{k}") for k in (1, 2, 3)]
    done = job(namcouple(*(entry(*pair) for pair in names)), (2, BUNDLE_SENDER), (3, BUNDLE_RECEIVER))
    assert done.rc == 0, done.text
    assert done.stdout.count(f"right {len(names)}") == 3


def test_points_that_nobody_sends_get_the_fill_value_and_are_counted(job):
    sender = SENDER.replace("array_split(np.arange(20), n)", "array_split(np.arange(15), n)")
    receiver = """
c = pyoasis.Component("toy_receiver")
r = c.localcomm.rank
index = np.arange(199, 99, -1) if r else np.arange(100)
p = pyoasis.OrangePartition(index.tolist(), [1] * 100, 200)
v = Var("F_IN", p, OASIS.IN)
v.fill = -7.0
c.enddef()
assert (v.unsent == (index >= 150)).all()
f = np.zeros(100)
for t in (0, 10, 20, 30):
    v.get(t, f)
    assert (f == np.where(index < 150, index + 1000 * t, -7)).all()
v.require_sent(index < 150)
try:
    v.require_sent(index < 151)
except pyoasis.PyOasisException as error:
    say("refused:", error)
say("counted", v.unsent_count)
"""
    done = job(namcouple(entry("F_OUT", "F_IN")), (2, sender), (2, receiver))
    assert done.rc == 0, done.text
    assert "50 received point(s) are sent by nobody and get -7.0" in done.stderr
    assert "counted 50" in done.stdout
    assert "1 wet point(s)" in done.stdout


def test_points_sent_twice_are_reported(job):
    sender = SENDER.replace("int(rows[0]) * 10, 10, len(rows)", "0, 10, 20").replace("(rows[:", "(np.arange(20)[:")
    done = job(namcouple(entry("F_OUT", "F_IN")), (2, sender), (1, RECEIVER.format(partition=PARTITIONS["serial"])))
    assert done.rc == 0, done.text
    assert "200 received point(s) are sent by several ranks" in done.stderr


def test_processes_can_be_left_out_and_components_can_talk(job):
    """create_couplcomm, get_intracomm, get_intercomm, get_multi_intracomm."""
    talk = """
intra = c.get_intracomm({other!r})
assert intra.allreduce(1) == intra.size == 5
inter = c.get_intercomm({other!r})
assert inter.remote_size == 5 - c.localcomm.size
both, roots = c.get_multi_intracomm([{other!r}])
assert both.size == 5 and roots == {{"toy_sender": 0, "toy_receiver": 2}}
say("talked")
"""
    receiver = """
c = pyoasis.Component("toy_receiver")
r = c.localcomm.rank
TALK
c.create_couplcomm(r != 0)
index = np.arange(200)[r - 1 :: 2]
if r:
    v = Var("F_IN", pyoasis.OrangePartition(index.tolist(), [1] * 100, 200), OASIS.IN)
c.enddef()
f = np.zeros(100)
for t in (0, 10, 20, 30):
    if r:
        v.get(t, f)
        assert (f == index + 1000 * t).all()
say("right", c.coupled)
"""
    sender = SENDER.replace("rows =", talk.format(other="toy_receiver") + "rows =", 1)
    done = job(
        namcouple(entry("F_OUT", "F_IN")),
        (2, sender),
        (3, receiver.replace("TALK", talk.format(other="toy_sender"))),
    )
    assert done.rc == 0, done.text
    assert done.stdout.count("talked") == 5
    assert done.stdout.count("right True") == 2
    assert done.stdout.count("right False") == 1


@pytest.mark.parametrize("size", ["200 1", "10 7"], ids=["right size", "wrong size"])
def test_lag_starts_from_a_restart_file_and_writes_the_next(job, tmp_path, size):
    """First get: the file; then what was put one lag before; the put that reaches $RUNTIME goes to the file.

    3 levels, packed. OASIS alone stops at the end of the run where nx * ny in the namcouple is not the number of points.
    """
    import netCDF4
    import numpy as np

    levels = np.arange(200)[None, :] + 1e6 * np.arange(3)[:, None]
    with netCDF4.Dataset(tmp_path / "rst.nc", "w", format="NETCDF3_64BIT_OFFSET") as file:
        file.createDimension("x", 200), file.createDimension("y", 3)
        file.createVariable("F_OUT", "f8", ("y", "x"))[...] = levels + 0.5
    sender = """
c = pyoasis.Component("left")
r = c.localcomm.rank
v = Var("F_OUT", pyoasis.ApplePartition(100 * r, 100, 200), OASIS.OUT, 3)
c.enddef()
for t in (0, 10, 20, 30):
    index = np.arange(100.0) + 100 * r + 1000 * (t + 10)
    info = v.put(t, np.stack([index + 1e6 * k for k in range(3)], axis=1))
    assert info == (OASIS.TOREST if t == 30 else OASIS.SENT), info
"""
    receiver = """
c = pyoasis.Component("right")
v = Var("F_IN", pyoasis.SerialPartition(200), OASIS.IN, 3)
c.enddef()
f = np.zeros((200, 3))
for t in (0, 10, 20, 30):
    v.get(t, f)
    assert (f == np.arange(200)[:, None] + 1e6 * np.arange(3) + (1000 * t if t else 0.5)).all(), (t, f)
"""
    text = namcouple(entry("F_OUT", "F_IN", line2=f"{size} {size} tor tor LAG=10"))
    done = job(text, (2, sender), (1, receiver))
    assert done.rc == 0, done.text
    with netCDF4.Dataset(tmp_path / "rst.nc") as file:
        assert (np.asarray(file["F_OUT"]) == levels + 40000).all()


def test_a_merged_namcouple_runs(job):
    """A field of a foreign pair with its comments, and ours behind it, in one run."""
    from coupler.oasis.namcouple import Entry, merge

    foreign = (
        native(entry("A", "B"), models="2 toy_se toy_re")
        .replace("# halocline: begin", "# theirs")
        .replace("# halocline: end\n", "")
    )
    text = merge(foreign, ["toy_sender", "toy_receiver"], 40, [Entry("F_OUT", "F_IN", 10, (10, 20, 10, 20))])
    sender = SENDER.replace("c.enddef()", 'w = Var("A", box, OASIS.OUT)\nc.enddef()')
    sender = sender.replace("    info =", "    w.put(t, -index)\n    info =")
    receiver = RECEIVER.replace("c.enddef()", 'w = Var("B", p, OASIS.IN)\nc.enddef()')
    receiver = receiver.replace(
        "    info =", "    g = f.copy(); w.get(t, g); assert t % 10 or (g == -index).all()\n    info ="
    )
    done = job(text, (2, sender), (1, receiver.format(partition=PARTITIONS["apple"])))
    assert done.rc == 0, done.text
    assert "right" in done.stdout


def test_a_run_of_over_eight_digits_of_seconds_is_counted_in_larger_units(job):
    """$RUNTIME is read with FORMAT(I8): 400 000 000 s would become 40 000 000."""
    scaled = 10**7
    sender = SENDER.replace("range(0, 40, 5)", f"range(0, 40 * {scaled}, 5 * {scaled})")
    sender = sender.replace("1000 * t", f"1000 * (t // {scaled})").replace("t % 10 ", f"t // {scaled} % 10 ")
    receiver = RECEIVER.format(partition=PARTITIONS["apple"]).replace("[10]", f"[10 * {scaled}]")
    receiver = receiver.replace("range(0, 40, 5)", f"range(0, 40 * {scaled}, 5 * {scaled})")
    receiver = receiver.replace("1000 * t", f"1000 * (t // {scaled})").replace("t % 10 ", f"t // {scaled} % 10 ")
    text = namcouple(entry("F_OUT", "F_IN", period=10 * scaled), runtime=40 * scaled)
    done = job(text, (1, sender), (1, receiver))
    assert done.rc == 0, done.text
    assert "right" in done.stdout


def test_partitions_are_shared_between_fields(job):
    """150 fields over two sets of points need two partitions; OASIS holds 100."""
    script = """
c = pyoasis.Component("{name}")
parts = [pyoasis.ApplePartition(0, 200 - k % 2) for k in range(150)]
fields = [Var(f"{prefix}{{k}}", parts[k], OASIS.{way}) for k in range(150)]
c.enddef()
assert len({{p._id for p in parts}}) == 2
for v, p in zip(fields, parts):
    f = np.arange(p.local_size, dtype=float)
    v.{call}(0, f)
    assert f[-1] == p.local_size - 1
say("right")
"""
    done = job(
        namcouple(*(entry(f"A{k}", f"B{k}") for k in range(150)), runtime=10),
        (1, script.format(name="left", prefix="A", way="OUT", call="put")),
        (1, script.format(name="right", prefix="B", way="IN", call="get")),
    )
    assert done.rc == 0, done.text
    assert done.stdout.count("right") == 2


def test_a_native_namcouple_is_used_as_it_is(job, tmp_path):
    """With $NBMODEL nothing is translated; component names may be longer than the six letters that OASIS reads."""
    text = native(entry("F_OUT", "F_IN"), models="2 toy_se toy_re")
    done = job(text, (2, SENDER), (3, RECEIVER.format(partition=PARTITIONS["box with halo"])))
    assert done.rc == 0, done.text
    assert (tmp_path / "oasis_run" / "namcouple").read_text() == text


def test_files_of_oasis_go_to_their_own_folder(job, tmp_path):
    (tmp_path / "oasis_run").mkdir()
    (tmp_path / "oasis_run" / "debug_notroot.01").write_text("ERROR of an earlier run\n")
    done = job(
        namcouple(entry("F_OUT", "F_IN", restart="restart_of_the_ocean.nc")),
        (2, SENDER),
        (1, RECEIVER.format(partition=PARTITIONS["serial"])),
    )
    assert done.rc == 0, done.text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["namcouple", "oasis_run", "program0.py", "program1.py"]
    assert (tmp_path / "oasis_run" / "nout.000000").exists()
    assert "earlier" not in (tmp_path / "oasis_run" / "debug_notroot.01").read_text()


def test_grids_are_written(job, tmp_path):
    import netCDF4
    import numpy as np

    sender = SENDER.replace(
        "c.enddef()",
        """
lon, lat = index % 10, index // 10
g = pyoasis.Grid("torc", 10, 20, lon, lat, box)
g.set_mask((index % 2).astype(int))
g.set_corners(np.stack([lon] * 4, axis=-1), np.stack([lat] * 4, axis=-1))
g.set_area(np.full_like(lon, 2.0))
g.set_angle(np.full_like(lon, 3.0))
g.write()
c.enddef()""",
    )
    done = job(namcouple(entry("F_OUT", "F_IN")), (2, sender), (1, RECEIVER.format(partition=PARTITIONS["serial"])))
    assert done.rc == 0, done.text
    index = np.arange(200).reshape(20, 10)
    with netCDF4.Dataset(tmp_path / "grids.nc") as file:
        assert (np.asarray(file["torc.lon"]) == index % 10).all()
        assert (np.asarray(file["torc.lat"]) == index // 10).all()
        assert (np.asarray(file["torc.clo"]) == index % 10).all()
    with netCDF4.Dataset(tmp_path / "masks.nc") as file:
        assert (np.asarray(file["torc.msk"]) == index % 2).all()

"""Recordings as files, the replay as a transport, and the scores, without a run."""

import json
import re
from types import SimpleNamespace

import netCDF4
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.markup import escape

from coupler import record as recording_module
from coupler.errors import HaloclineError
from coupler.exchange import Exchange, make_plan
from coupler.fields import Field
from coupler.grid import Box, decompose
from coupler.halo import source_map
from coupler.handshake import PROTOCOL, GridPart, Handshake, TimePart
from coupler.record import Recorder
from coupler.score import Score, Scores
from coupler.settings import NamCpl, NamDiag, Settings
from coupler.timers import Timers
from coupler.transport.base import Header
from coupler.transport.recording import RecordFile, Recording
from coupler.transport.replay import ReplayTransport

NX, NY, STEPS = 12, 7, 4
TIME = TimePart(rn_Dt=3600.0, nn_it000=3, nn_itend=2 + STEPS, date0=20000101, calendar="360_day", level="now")


def field(number, name, point, levels, direction, grid=1):
    return Field(id=number, name=name, units="m s-1", point=point, levels=levels, grid=grid, direction=direction)


MASK = Exchange(1, "masks", "to_coupler", (field(1, "umask", "U", 1, "out"),), static=True, halo=2)
STATE = Exchange(2, "the state", "to_coupler", (field(2, "u", "U", 2, "out"), field(3, "kt", "T", 1, "out")), halo=2)
OTHER = Exchange(3, "other", "to_coupler", (field(4, "t", "T", 1, "out", grid=2),), period=2)
ANSWER = Exchange(4, "answer", "to_ocean", (field(5, "du", "U", 2, "in"),))
EXCHANGES = (MASK, STATE, OTHER, ANSWER)


def handshake(boundary="closed"):
    """Two grids; on the first, the upper right corner belongs to nobody."""
    domains = [(0, 0, 6, NY), (6, 0, NX - 6, 4)]
    return Handshake(
        protocol=PROTOCOL,
        transport="mpi",
        model="ocean",
        time=TIME,
        fields=[item for exchange in EXCHANGES for item in exchange.fields],
        declared=[5, 5],
        grids=[
            GridPart(name="one", nx=NX, ny=NY, boundary=boundary, domains=domains),
            GridPart(name="two", nx=5, ny=3, boundary="closed", domains=[(0, 0, 5, 3)]),
        ],
    )


def values(exchange, kt):
    """Global fields of a step, different everywhere."""
    shapes = {1: (NY, NX), 2: (3, 5)}
    return {
        item.name: np.random.default_rng((kt, item.id)).standard_normal((item.levels, *shapes[item.grid]))
        for item in exchange.fields
    }


class Local:
    """Coupler ranks that run one after the other: gather keeps what each brings, the last one gets all."""

    def __init__(self, size):
        self.rank, self.size, self.kept = 0, size, []

    def gather(self, value):
        self.kept.append(value)
        if len(self.kept) < self.size:
            return None
        found, self.kept = self.kept, []
        return found


def switches(path, **changes):
    (path / "namelist_cfg").write_text("&namcpl\n/\n")
    cpl = NamCpl(ln_record=True, cn_record=str(path / "record.nc"), **changes)
    return Settings(path / "namelist_cfg", cpl, [], [], NamDiag())


@pytest.fixture(params=["closed", "fold_T"])
def recorded(request, tmp_path):
    """A recording made by the Recorder; land-only cells, two grids, a field named like one of the file's own."""
    shake = handshake(request.param)
    return write(tmp_path, shake), shake


def recorder_of(folder, shake, **changes):
    """A Recorder of one coupler rank, and what fills the stack of an exchange with the values of a step."""
    plans = {}
    for exchange in EXCHANGES:
        part = shake.grids[exchange.grid - 1]
        box = Box(0, 0, part.nx, part.ny)
        owner = ReplayTransport.ownership(None, part)
        plans[exchange.name] = make_plan(exchange, part.grid, owner, box, dtype=np.dtype("f8"))
    boxes = {1: Box(0, 0, NX, NY), 2: Box(0, 0, 5, 3)}
    recorder = Recorder(switches(folder, **changes), shake, list(plans.values()), Local(1), boxes, Timers())

    def fill(exchange, kt):
        plan, halo = plans[exchange.name], exchange.halo
        for name, view in plan.views.items():
            view[:, halo : view.shape[1] - halo, halo : view.shape[2] - halo] = values(exchange, kt)[name]
        return plan

    return recorder, fill


def write(folder, shake, last=TIME.nn_itend, close=True):
    recorder, fill = recorder_of(folder, shake)
    recorder.received(fill(MASK, 3), 3, Header(3, 0, False))
    for kt in range(3, last + 1):
        for exchange in (STATE, OTHER):
            if exchange.due(kt):
                recorder.received(fill(exchange, kt), kt, Header(kt, 5 if kt == 5 else 0, kt == TIME.nn_itend))
        recorder.answered(fill(ANSWER, kt), kt, 0, fill(ANSWER, kt).stack)
    if close:
        recorder.close()
    return folder / "record.nc"


def padded(part, exchange, vectors, box, whole):
    """A stack by the definition of the index map, cell by cell."""
    covered = ReplayTransport.ownership(None, part).rank.ravel() >= 0
    blocks = []
    for item in exchange.fields:
        source, sign = source_map(part.grid, box, exchange.halo, item.point)
        known = (source >= 0) & covered[source]
        flat = whole[item.name].reshape(item.levels, -1)[:, np.where(known, source, 0)]
        blocks.append(np.where(known, flat * (sign if item.name in vectors else 1), 0.0))
    return np.concatenate(blocks)


class Ear:
    def begin(self, plans):
        self.heads = []

    def heard(self, exchange, kt, status, fields):
        self.heads.append((kt, status))
        self.fields = {name: array.copy() for name, array in fields.items()}


def test_what_was_recorded_is_read(recorded):
    path, shake = recorded
    recording = Recording(path)
    assert recording.shake == shake and recording.last == TIME.nn_itend
    covered = ReplayTransport.ownership(None, shake.grids[0]).rank >= 0
    assert not covered.all()
    for kt in range(3, 7):
        for direction, exchange in (("to_coupler", STATE), ("to_ocean", ANSWER)):
            for name, array in values(exchange, kt).items():
                found = recording.read(direction, name, kt)
                assert np.array_equal(found[:, covered], array[:, covered]), name
                assert (found[:, ~covered] == netCDF4.default_fillvals["f8"]).all()
    assert sorted(recording.fields["to_coupler", "t"].records) == [3, 5]
    assert recording.fields["to_coupler", "u"].heads[5] == (5, 0)
    assert recording.fields["to_coupler", "u"].heads[6] == (0, 1)
    assert not np.array_equal(recording.read("to_coupler", "u", 3), recording.read("to_coupler", "u", 4))


@pytest.mark.parametrize("vectors", [("u",), ()])
def test_the_halo_of_a_replay_is_that_of_the_index_map(tmp_path, vectors):
    """Across the fold with its sign, and the fill where no ocean rank is; without the sign it is another."""
    shake = handshake("fold_T")
    part, box = shake.grids[0], Box(0, 0, NX, NY)
    transport = ReplayTransport(Recording(write(tmp_path, shake)), (3, 6), Ear())
    plan = make_plan(STATE, part.grid, transport.ownership(part), box, dtype=np.dtype("f8"), vectors=vectors)
    transport.define([plan], 64, 10.0)
    header = transport.receive(plan, 4)
    assert (header.kt, header.restart, header.last) == (4, 0, False)
    assert np.array_equal(plan.stack, padded(part, STATE, vectors, box, values(STATE, 4)))
    other = () if vectors else ("u",)
    assert not np.array_equal(plan.stack, padded(part, STATE, other, box, values(STATE, 4)))
    assert transport.receive(plan, 7) == Header(6, 0, True)  # the records end: as an ocean that ends


def test_answers_arrive_whole(recorded):
    path, shake = recorded
    part, ear = shake.grids[0], Ear()
    transport = ReplayTransport(Recording(path), (3, 6), ear)
    plan = make_plan(ANSWER, part.grid, transport.ownership(part), Box(0, 0, NX, NY), dtype=np.dtype("f8"))
    transport.define([plan], 32, 10.0)
    plan.stack[...] = values(ANSWER, 3)["du"]
    transport.send(plan, 5, 1)
    covered = transport.ownership(part).rank >= 0
    assert ear.heads == [(5, 1)] and np.isnan(ear.fields["du"][:, ~covered]).all()
    assert np.array_equal(ear.fields["du"][:, covered], values(ANSWER, 3)["du"][:, covered].astype("f4"))


@pytest.mark.parametrize("ranks", [2, 3])
def test_pieces_of_several_ranks_make_one_record(tmp_path, ranks):
    shake, exchange = handshake(), ANSWER
    boxes = decompose(shake.grids[0].grid, ranks)
    file = RecordFile(tmp_path / "r.nc", shake, [(exchange, np.dtype("f8"))], {})
    whole = values(exchange, 3)["du"]
    cut = [(b, {"du": whole[:, b.j0 : b.j0 + b.nj, b.i0 : b.i0 + b.ni]}) for b in boxes]
    file.append(exchange, 3, {"status": 0}, cut)
    file.append(exchange, 4, {"status": 0}, cut[:-1])
    file.close()
    covered = ReplayTransport.ownership(None, shake.grids[0]).rank >= 0
    with netCDF4.Dataset(tmp_path / "r.nc") as data:
        data.set_auto_mask(False)
        du = data["answer"]["du"]
        assert np.array_equal(du[0][:, covered], whole[:, covered])
        assert not np.array_equal(du[1][:, covered], whole[:, covered])  # a missing piece shows


def test_a_record_that_is_not_whole_is_not_read(tmp_path):
    """A run that dies between the fields and the step of a record leaves the record before."""
    write(tmp_path, handshake(), last=5, close=False)
    part = tmp_path / "record.nc.part"
    with netCDF4.Dataset(part, "a") as file:
        file["the_state"]["u"][3] = 1.0
    recording = Recording(part)
    assert recording.last == 5 and 6 not in recording.fields["to_coupler", "u"].records
    with netCDF4.Dataset(part, "a") as file:
        file["the_state"]["kt"][3] = 6
    assert 6 in Recording(part).fields["to_coupler", "u"].records
    with pytest.raises(HaloclineError, match="record.nc.part is there, of a run that did not end"):
        Recording(tmp_path / "record.nc")


def test_what_is_no_recording_is_said(tmp_path):
    with pytest.raises(HaloclineError, match="A run with ln_record = .true."):
        Recording(tmp_path / "none.nc")
    (tmp_path / "text.nc").write_text("no NetCDF")
    with pytest.raises(HaloclineError, match="cannot be read as NetCDF"):
        Recording(tmp_path / "text.nc")
    netCDF4.Dataset(tmp_path / "other.nc", "w").close()
    with pytest.raises(HaloclineError, match="no recording: the attribute 'format' is not there"):
        Recording(tmp_path / "other.nc")
    RecordFile(
        tmp_path / "empty.nc",
        handshake(),
        [(STATE, np.dtype("f8"))],
        {"namelist_cfg": "", "artefacts": "{}", "halocline": "0"},
    ).close()
    with pytest.raises(HaloclineError, match="holds no whole record of exchange 'the state'"):
        Recording(tmp_path / "empty.nc")
    with pytest.raises(HaloclineError, match="cannot write the recording"):
        RecordFile(tmp_path / "no" / "r.nc", handshake(), [], {})


def test_older_recordings_are_read_and_newer_refused(tmp_path):
    """The protocol of messages may have moved on; the format of the file decides."""
    path = write(tmp_path, handshake().model_copy(update={"protocol": PROTOCOL - 1}))
    recording = Recording(path)
    assert recording.shake == handshake()
    recording.close()
    with netCDF4.Dataset(path, "a") as file:
        file.setncattr("format", 99)
    with pytest.raises(HaloclineError, match="is of format 99, this version of Halocline reads 1 to 1"):
        Recording(path)


def test_another_period_is_refused(recorded):
    path, shake = recorded
    part = shake.grids[1]
    transport = ReplayTransport(Recording(path), (3, 6), Ear())
    plan = make_plan(OTHER, part.grid, transport.ownership(part), Box(0, 0, 5, 3), dtype=np.dtype("f8"))
    transport.define([plan], 64, 10.0)
    assert transport.receive(plan, 5).kt == 5
    with pytest.raises(HaloclineError, match="'t' was not recorded at step 4, but at 3, 5"):
        transport.receive(plan, 4)


def test_a_disk_that_is_too_small_is_said_before_the_run(tmp_path, monkeypatch, capsys):
    write(tmp_path, handshake())
    said = capsys.readouterr().out
    assert "kB per step" in said and "for 4 steps" in said and "holds 11 exchanges" in said
    most = float(re.search(r"at most ([\d.]+) kB", said)[1])
    assert 0.8 * most < (tmp_path / "record.nc").stat().st_size / 1000 < most
    monkeypatch.setattr(recording_module.shutil, "disk_usage", lambda path: SimpleNamespace(free=180_000))
    with pytest.raises(HaloclineError, match="180 kB free") as error:
        write(tmp_path, handshake())
    assert "Run fewer steps (about 1 fit)" in str(error.value) and "rn_period" in str(error.value)


@pytest.mark.parametrize("ahead", [0, 1], ids=["no lag", "lag"])
def test_each_file_of_a_cut_recording_is_whole_as_soon_as_its_steps_are_done(tmp_path, ahead):
    """Two files of two steps: final with the last record that belongs to them, not before; statics are in both."""
    shake, made = handshake(), [tmp_path / f"record_{first:08d}.nc" for first in (3, 5)]
    recorder, fill = recorder_of(tmp_path, shake, rn_record=2 * TIME.rn_Dt)
    recorder.received(fill(MASK, 3), 3, Header(3, 0, False))
    for early in range(ahead):
        recorder.answered(fill(ANSWER, 3 + early), 3 + early, 1, fill(ANSWER, 3 + early).stack)
    seen = {}
    for kt in range(3, TIME.nn_itend + 1):
        for exchange in (STATE, OTHER):
            if exchange.due(kt):
                recorder.received(fill(exchange, kt), kt, Header(kt, 0, kt == TIME.nn_itend))
        seen[kt, "states"] = [path.exists() for path in made]
        if kt + ahead <= TIME.nn_itend:
            recorder.answered(fill(ANSWER, kt + ahead), kt + ahead, 0, fill(ANSWER, kt + ahead).stack)
        seen[kt, "answer"] = [path.exists() for path in made]
    assert seen[4, "states"] == [bool(ahead), False] and seen[4, "answer"] == [True, False]
    assert seen[5, "answer"] == [True, False] and seen[6, "states"] == [True, bool(ahead)]
    recorder.close()
    assert sorted(path.name for path in tmp_path.glob("*.nc*")) == [path.name for path in made]
    whole = Recording(write(tmp_path, shake))
    for path, first in zip(made, (3, 5), strict=True):
        recording = Recording(path)
        assert (recording.first, recording.last, recording.shake) == (first, first + 1, shake)
        for (direction, name), series in recording.fields.items():
            steps = [None] if name == "umask" else list(series.records)
            expected = [kt for kt in whole.fields[direction, name].records if first <= kt <= first + 1]
            assert name == "umask" or steps == expected
            for kt in steps:
                assert np.array_equal(recording.read(direction, name, kt), whole.read(direction, name, kt))


def test_a_cut_recording_that_ends_early_has_its_name(tmp_path):
    """A run that is ended by a signal closes what it has; one that dies leaves nothing that could be taken for whole."""
    recorder, fill = recorder_of(tmp_path, handshake(), rn_record=4 * TIME.rn_Dt)
    recorder.received(fill(MASK, 3), 3, Header(3, 0, False))
    for exchange in (STATE, OTHER):
        recorder.received(fill(exchange, 3), 3, Header(3, 0, False))
    assert [path.name for path in tmp_path.glob("*.nc*")] == ["record_00000003.nc.part"]
    recorder.close()
    assert Recording(tmp_path / "record_00000003.nc").last == 3


@pytest.mark.parametrize(
    ("length", "words"), [(5000.0, "1.38889 steps of 3600 s"), (3600.0, "no multiple of the 7200 s.*'other'")]
)
def test_a_cut_that_splits_a_period_is_refused(tmp_path, length, words):
    with pytest.raises(HaloclineError, match=words):
        recorder_of(tmp_path, handshake(), rn_record=length)


def test_of_a_cut_recording_two_files_must_fit(tmp_path, monkeypatch, capsys):
    """A reader may remove what it has read; the length of the whole run is said, and is no error."""
    room = SimpleNamespace(free=370_000)
    monkeypatch.setattr(recording_module.shutil, "disk_usage", lambda path: room)
    long = handshake().model_copy(update={"time": TIME.model_copy(update={"nn_itend": 2002})})
    recorder_of(tmp_path, long, rn_record=2 * TIME.rn_Dt)
    assert (
        "in 1000 files of 2 steps, at most 183 kB each and 183 MB together (370 kB are free)" in capsys.readouterr().out
    )
    room.free = 360_000
    with pytest.raises(HaloclineError, match=r"(?s)two files of 2 steps.*Shorten rn_record"):
        recorder_of(tmp_path, long, rn_record=2 * TIME.rn_Dt)


def test_attributes_are_those_of_the_run(recorded):
    with netCDF4.Dataset(recorded[0]) as file:
        assert file.namelist_cfg == "&namcpl\n/\n" and json.loads(file.artefacts) == {}
        assert file["the_state"].exchange == "the state" and file["the_state"]["field_kt"].long_name == "kt"


@given(st.integers(0, 2**32), st.floats(-5, 5), st.floats(0, 3))
def test_scores_are_those_of_the_definition(seed, mean, noise):
    """Rms, ratio, correlation and largest difference of numpy over all answers; other cells than the wet do not enter."""
    rng = np.random.default_rng(seed)
    wet = rng.random((2, 5, 6)) < 0.7
    x = mean + rng.standard_normal((8, 2, 5, 6))
    y = 0.5 * x + noise * rng.standard_normal(x.shape)
    everywhere = np.ones_like(wet)
    scores = Scores(11, 18, {"du": "m s-2"}, {"du": everywhere}, {"du": wet})
    for n in range(8):
        scores.add("du", 11 + n, x[n], y[n])
    score, a, b = scores.whole("du"), x[:, wet].ravel(), y[:, wet].ravel()
    assert [(r.first, r.last, r.answers) for r in scores.ranges["du"]] == [
        (11 + 2 * n, 12 + 2 * n, 2) for n in range(4)
    ]
    assert score.rms == pytest.approx((np.sqrt((a * a).mean()), np.sqrt((b * b).mean())), rel=1e-13)
    assert score.ratio == pytest.approx(score.rms[1] / score.rms[0])
    assert score.correlation == pytest.approx(np.corrcoef(a, b)[0, 1], abs=1e-11)
    assert score.largest == np.abs(a - b).max() and score.answers == 8 and score.differ == x.size
    land = np.corrcoef(x.ravel(), y.ravel())[0, 1]
    assert noise < 1e-3 or (~wet).sum() == 0 or abs(score.correlation - land) > 1e-14


def test_equal_answers_and_a_last_bit():
    x = np.random.default_rng(1).standard_normal((2, 3, 4))
    y = x.copy()
    y[1, 2, 3] = np.nextafter(y[1, 2, 3], 9)
    owned = np.ones(x.shape, bool)
    one, other = Score(1, 1), Score(1, 1)
    one.add(1, x, x.copy(), owned, owned)
    other.add(1, x, y, owned, owned)
    assert (one.differ, one.largest, one.ratio) == (0, 0.0, 1.0) and one.correlation == pytest.approx(1, abs=1e-15)
    assert (other.differ, other.at) == (1, 1) and 0 < other.largest < 1e-15


def test_the_row_of_all_steps_says_so():
    """One label for the field, one for the sum over the ranges; with a single range there is no such row."""
    ones = np.ones((1, 2, 2), bool)
    for last, labels in ((8, ["du [1]", "", "", "", "all steps"]), (1, ["du [1]"])):
        scores = Scores(1, last, {"du": "1"}, {"du": ones}, {"du": ones})
        for kt in range(1, last + 1):
            scores.add("du", kt, np.ones((1, 2, 2)), np.ones((1, 2, 2)))
        table = scores.table()
        assert list(table.columns[0].cells) == [escape(label) for label in labels]
        assert list(table.columns[1].cells)[-1] == f"1-{last}"


def test_numbers_that_are_not_finite_are_counted():
    x = np.ones((1, 2, 2))
    y = x.copy()
    y[0, 0, 0] = np.nan
    scores = Scores(1, 1, {"du": "1"}, {"du": np.ones(x.shape, bool)}, {"du": np.ones(x.shape, bool)})
    scores.add("du", 1, x, y)
    scores.add("du", 2, None, y)
    score = scores.whole("du")
    assert (score.bad, score.cells, score.differ) == (1, 3, 1) and scores.alone == {"du": 1} and not scores.same

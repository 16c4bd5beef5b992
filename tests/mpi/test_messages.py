"""What the headers say: restarts between coupling steps, an answer at a first step off its period, the status of an answer."""

import subprocess
import sys

import pytest

from coupler.exchange import Exchange
from coupler.fields import by_name
from coupler.handshake import parse
from coupler.oasis.namcouple import compose

SCRIPT = "tests/mpi/messages.py"
FIELDS = [(1, "a", "out"), (2, "b", "out"), (3, "c", "in"), (4, "d", "in")]


def description(first):
    fields = [
        f'{{"id": {n}, "name": "{name}", "units": "K", "point": "T", "levels": 1, "direction": "{way}"}}'
        for n, name, way in FIELDS
    ]
    return f"""{{"protocol": 2, "transport": "oasis", "model": "messages", "declared": [4], "fields": [{", ".join(fields)}],
        "time": {{"rn_Dt": 3600, "nn_it000": {first}, "nn_itend": 9, "date0": 20000101, "calendar": "360_day", "level": "now"}},
        "grids": [{{"name": "", "nx": 6, "ny": 4, "boundary": "closed", "domains": [[0, 0, 6, 4]]}}]}}"""


def namcouple(first):
    """What `halocline namcouple` would write for the exchanges of the script."""
    from coupler.transport.oasis import COUPLER, entries

    shake = parse(description(first))
    a, b, c = (by_name(shake.fields, way)[name] for name, way in [("a", "out"), ("b", "out"), ("c", "in")])
    exchanges = [
        Exchange(1, "fast", "to_coupler", (a,)),
        Exchange(2, "slow", "to_coupler", (b,), 3),
        Exchange(3, "answer", "to_ocean", (c,), 3),
    ]
    return compose(["messag", COUPLER], (10 - first) * 3600, entries(exchanges, shake))


@pytest.fixture(scope="module")
def program(repo, compile_host, tmp_path_factory):
    """program(transport, client edit) -> executable."""
    source = (repo / "tests/mpi/messages.f90").read_text()

    def build(transport, edit=None):
        if transport == "mpi" and edit is None:
            return compile_host(source)
        client = (repo / f"coupler/fortran/cpl_halocline_{transport}.f90").read_text()
        if edit is not None:
            assert edit[0] in client
            other = client.replace(*edit).replace("module cpl_halocline", "module cpl_other")
            return compile_host(other + source.replace("use cpl_halocline", "use cpl_other"))
        flags = repo / "build/oasis/flags.mk"
        if not flags.exists():
            pytest.skip("OASIS3-MCT is not built (liboasis3-dev is not installed)")
        include, libraries = (line.split(":=")[1].split() for line in flags.read_text().splitlines())
        folder = tmp_path_factory.mktemp("oasis")
        (folder / "all.f90").write_text(client + source)
        command = ["mpif90", "-O1", "-g", "-fdefault-real-8", *include, "all.f90", "-o", "messages.exe", *libraries]
        subprocess.run(command, cwd=folder, check=True, timeout=120)
        return folder / "messages.exe"

    known = {}

    def get(transport="mpi", edit=None):
        if (transport, edit) not in known:
            known[transport, edit] = build(transport, edit)
        return known[transport, edit]

    return get


@pytest.fixture
def talk(repo, mpirun, tmp_path):
    """talk(executable, first step, last step, words to the script) -> headers and lines of the model."""

    def run(exe, first=1, last=9, words=(), ocean=2, coupler=2, ok=True):
        if "oasis" in words:
            (tmp_path / "namcouple").write_text(namcouple(first))
        args = ["-np", ocean, exe, first, last, ":", "-np", coupler, sys.executable, repo / SCRIPT, *words]
        done = mpirun(args, np=None, cwd=tmp_path, timeout=50)
        assert (done.rc == 0) == ok, done.text
        found = [tmp_path / "headers.txt", tmp_path / "model.txt"]
        headers, model = (path.read_text().splitlines() if path.exists() else [] for path in found)
        return done, [line.split() for line in headers], model

    return run


def restarts(headers, name):
    """Step of the message and step of the restart that it tells, where it tells one."""
    return [(int(kt), int(restart)) for exchange, _, kt, restart, _ in headers if exchange == name and restart != "0"]


@pytest.mark.parametrize("transport", ["mpi", "oasis"])
def test_a_restart_between_two_exchanges_is_told_with_the_next(program, talk, transport):
    """Restarts at 2, 5 and 6; the slow exchange travels at 1, 4 and 7 and tells 2 and, of 5 and 6, the last."""
    _, headers, _ = talk(program(transport), words=[transport])
    assert restarts(headers, "fast") == [(2, 2), (5, 5), (6, 6)]
    assert restarts(headers, "slow") == [(4, 2), (7, 6)]
    assert [step for _, step, _, _, last in headers if last == "True"] == ["7", "9"]


def test_a_restart_told_at_its_own_step_only_is_lost(program, talk):
    """The broken twin, as protocol 1 did it: the slow exchange never travels at a step of a restart."""
    old = ("irestart = int(restart_word(zexc), int64)", "irestart = merge(restart_word(zexc), 0, kt == nkt_restart)")
    _, headers, _ = talk(program(edit=old))
    assert restarts(headers, "fast") == [(2, 2), (5, 5), (6, 6)]
    assert restarts(headers, "slow") == []


def test_a_model_that_ends_early_tells_its_restart(program, talk):
    """It ends after step 5, at whose end it writes a restart; the last message of the slow exchange was that of step 4."""
    _, headers, _ = talk(program(), last=5)
    assert ["slow", "7", "4", "5", "True"] in headers


STATUS = {1: (1, 0), 4: (4, 1), 7: (7, 2)}


def lines(first, held):
    """What the model says: value and status of the last delivery, kept between two."""
    deliveries = {first: held, **STATUS}
    said, now = [], None
    for kt in range(first, 10):
        now = deliveries.get(kt, now)
        said.append(f"step {kt} uses {now[0]} of status {now[1]}, not coupled 3")
    return said


@pytest.mark.parametrize("transport", ["mpi", "oasis"])
def test_the_status_of_an_answer_reaches_the_model(program, talk, transport):
    """Each delivery brings its own; a field that nobody couples is inactive."""
    model = talk(program(transport), words=[transport])[2]
    assert model == lines(1, STATUS[1])


def test_a_status_that_is_not_read_is_caught(program, talk):
    """The broken twin: a client that leaves the word in the message."""
    deaf = ("zexc%nstatus = max(zexc%nstatus, int(zexc%msg(jm)%head(4)))", "")
    model = talk(program(edit=deaf))[2]
    assert len(model) == 9 and model != lines(1, STATUS[1])


@pytest.mark.parametrize("first", [2, 3])
def test_a_run_off_its_period_gets_what_is_held(program, talk, first):
    """Exchanges at 4 and 7 belong to the period; at the first step comes what the coupler has kept, of status held."""
    _, headers, model = talk(program(), first, words=["first"])
    assert model == lines(first, (-5, 1))
    assert [int(step) for name, step, *_ in headers if name == "slow"] == [4, 7]


def test_without_the_word_in_the_plan_nothing_is_held(program, talk):
    """The broken twin: the model then begins with the neutral value, of status inactive."""
    model = talk(program(), 2)[2]
    assert model == lines(2, (0, 3)) != lines(2, (-5, 1))


def test_a_run_off_its_period_is_refused_over_oasis(program, talk):
    done, _, _ = talk(program("oasis"), 2, words=["oasis", "first"], ok=False)
    assert "exchange 'answer' happens every 3 steps counted from step 1, the run starts at step 2" in done.text
    assert "Start at step 4, or set cn_transport = 'mpi'" in done.text


def test_client_and_coupler_of_two_protocols_part_at_once(program, talk):
    """The message names both numbers, who speaks which, and the way to the right client."""
    done, headers, _ = talk(program(edit=("cpl_protocol = 2 ", "cpl_protocol = 1 ")), ok=False)
    assert "protocol versions differ: 2 on rank 2 (halocline couple), 1 in the client of messages." in done.text
    assert "halocline client --path" in done.text and not headers and done.seconds < 20

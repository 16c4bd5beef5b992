"""The agreement between client and coupler: its version, what may be added to it, and what else the ocean takes and offers."""

import json
import re

import numpy as np
import pytest
import xarray as xr

from coupler.errors import HaloclineError
from coupler.handshake import PROTOCOL, parse
from tests.consistency.conftest import KAPPA, OCEAN, SPINUP, coupling, merged, namelist_text, same_bits
from tests.ocean.conftest import executable

# --- Versions --------------------------------------------------------------------------------------------------------

SHAKE = {
    "protocol": PROTOCOL,
    "transport": "mpi",
    "model": "gyre",
    "time": {"rn_Dt": 3600.0, "nn_it000": 1, "nn_itend": 6, "date0": 20000101, "calendar": "360_day", "level": "now"},
    "fields": [{"id": 1, "grid": 1, "name": "t", "units": "K", "point": "T", "levels": 2, "direction": "out"}],
    "declared": [1],
    "grids": [{"name": "", "nx": 4, "ny": 3, "boundary": "closed", "domains": [[0, 0, 4, 3]]}],
}


def test_both_clients_speak_the_version_of_the_coupler(repo):
    for transport in ("mpi", "oasis"):
        text = (repo / f"coupler/fortran/cpl_halocline_{transport}.f90").read_text()
        assert re.findall(r"cpl_protocol = (\d+)", text) == [str(PROTOCOL)]


@pytest.mark.parametrize("version", [PROTOCOL - 1, PROTOCOL + 1, "two"])
def test_another_version_is_refused_in_words(version):
    """Also where the rest of the document is nothing that this version knows."""
    for document in ({**SHAKE, "protocol": version}, {"protocol": version}):
        with pytest.raises(HaloclineError) as caught:
            parse(json.dumps(document))
        assert f"protocol versions differ: {version} in the client of the ocean, {PROTOCOL} in this" in str(
            caught.value
        )
        assert "halocline client --path" in str(caught.value)


def test_the_hello_of_another_version_is_refused_in_words():
    """Over MPI it is found out before any document, by whichever side has rank 0; here it is the coupler."""
    from coupler.transport import hello

    words = np.stack([hello._words(hello.COUPLER, "halocline couple"), hello._words(hello.OCEAN, "gyre")])
    assert hello._table(words)[:, 0].tolist() == [hello.COUPLER, hello.OCEAN]
    words[1, 1] = PROTOCOL - 1
    expected = rf"differ: {PROTOCOL - 1} on rank 1 \('gyre'\), {PROTOCOL} in this coupler.*halocline client --path"
    with pytest.raises(HaloclineError, match=expected):
        hello._table(words)


def test_entries_of_a_newer_handshake_are_ignored():
    """The upgrade policy: a new entry, at any depth, needs no new version."""
    newer = json.loads(json.dumps(SHAKE))
    for part in (newer, newer["time"], newer["fields"][0], newer["grids"][0]):
        part["compiler"] = {"name": "gfortran", "flags": ["-O2"]}
    assert parse(json.dumps(newer)) == parse(json.dumps(SHAKE))


@pytest.mark.parametrize("part", ["time", "fields", "grids"])
def test_entries_that_are_missing_are_not(part):
    """The broken twin: what this version needs cannot be left out."""
    with pytest.raises(HaloclineError, match=f"cannot be read: {part}"):
        parse(json.dumps({key: value for key, value in SHAKE.items() if key != part}))


# --- The ocean's own closure where a flag asks for it ----------------------------------------------------------------

FLAGS = '''
import numpy as np
FLAGS = [{"name": f"flag_{n}", "units": "1", "point": n.upper(), "levels": 2} for n in "uv"]
CONTRACT = {
    "name": "flags", "version": "1", "family": "test", "license": "MIT", "radius": 0, "dtype": "f8",
    "decomposition": "bitwise",
    "inputs": [{"name": n, "units": "m s-1", "point": n.upper(), "levels": 2} for n in "uv"],
    "outputs": [{"name": f"d{n}", "units": "m s-2", "point": n.upper(), "levels": 2} for n in "uv"]
    + FLAGS,
}


def run(inputs):
    """No tendency anywhere; flags are up where the current flows east or north."""
    none = {f"d{n}": np.full_like(inputs[n], -0.0) for n in "uv"}
    return none if not FLAGS else none | {f"flag_{n}": np.where(CONDITION, 1.0, 0.0) for n in "uv"}
'''
TRENDS = {"namtrd": {"ln_trd": True, "nn_trd": 1, "ln_trd_r8": True}}
LAST = SPINUP + 6


@pytest.fixture
def flagged(zb20_run, tmp_path):
    """flagged(condition, flags travel, fallback on, changes, layout) -> the run."""

    def run(*changes, condition="inputs[n] > 0", travel=True, fallback=True, **layout):
        text = FLAGS.replace("CONDITION", condition)
        (tmp_path / "broken.py").write_text(text if travel else text.replace("CONTRACT =", "FLAGS = []\nCONTRACT ="))
        groups = coupling()
        groups["namexc"] = [
            {"cn_name": "state", "cn_dir": "to_coupler", "cn_fields": ["u", "v"]},
            {"cn_name": "tendency", "cn_dir": "to_ocean", "cn_fields": ["du", "dv"]},
        ]
        groups["namnet"] = {"cn_name": "flags", "cn_artefact": "broken.py"}
        if travel:
            flags = {"cn_name": "flags", "cn_dir": "to_ocean", "cn_fields": ["flag_u", "flag_v"]}
            groups["namexc"].append(flags)
        own = {"namzb20": {"ln_zb20_fb": fallback, "rn_zb_kappa": KAPPA}}
        return zb20_run(groups, own, *changes, link=(tmp_path / "broken.py",), **layout)

    return run


@pytest.fixture(scope="module")
def everywhere(zb20_run):
    """The ocean alone with its closure on every face."""
    return zb20_run({"namzb20": {"ln_zb20": True, "rn_zb_kappa": KAPPA}}, TRENDS, coupler=0)


def trends(run, name):
    found = run.open(f"TEST_{SPINUP + 1:08d}_{LAST:08d}_trd.nc")
    return [found[f"{n}trd_{name}"].values[0] for n in "uv"]


@pytest.mark.parametrize(("ocean", "coupler"), [(1, 1), (4, 2)])
def test_flagged_faces_get_the_closure_and_no_other(flagged, everywhere, spun_up, ocean, coupler):
    """In the first step, bit for bit: the closure of the ocean where a flag is up, nothing elsewhere."""
    run = flagged(TRENDS, ocean=ocean, coupler=coupler)
    with xr.open_dataset(spun_up(), decode_times=False) as restart:
        state = [np.squeeze(restart[f"{n}n"].values) for n in "uv"]
    for got, closure, current in zip(trends(run, "cpl"), trends(everywhere, "zb20"), state, strict=True):
        assert (np.where(current > 0, closure, 0.0) == got).all()
        assert abs(got).max() > 0 and not (closure == got).all()


def test_flags_everywhere_are_the_ocean_with_its_closure(flagged, everywhere):
    run = flagged(TRENDS, condition="inputs[n] == inputs[n]", ocean=4)
    same_bits(everywhere.restart(LAST), run.restart(LAST))
    with pytest.raises(AssertionError, match="differs"):
        same_bits(everywhere.restart(LAST), flagged(TRENDS, condition="inputs[n] > 0").restart(LAST))


def test_flagged_runs_have_the_same_bits_in_every_layout(flagged):
    """Also where one rank has flags and its neighbour has none, and without trends."""
    one, other = (flagged(ocean=a, coupler=b, condition="inputs[n] > 0.02") for a, b in [(1, 1), (4, 2)])
    same_bits(one.restart(LAST), other.restart(LAST))
    same_bits(one.restart(LAST), flagged(TRENDS, condition="inputs[n] > 0.02").restart(LAST))


def test_flags_that_nobody_couples_change_nothing(flagged):
    """The switch alone has the bits of the run without it; coupled flags do not."""
    plain = flagged(travel=False, fallback=False)
    same_bits(plain.restart(LAST), flagged(travel=False, ocean=2).restart(LAST))
    with pytest.raises(AssertionError, match="differs"):
        same_bits(plain.restart(LAST), flagged().restart(LAST))


def test_an_ocean_without_the_closure_takes_no_flags(flagged):
    done = flagged(fallback=False, ok=False)
    assert "accepts no field 'flag_u'" in done.text


@pytest.mark.parametrize(
    ("switches", "words"),
    [
        ({"ln_zb20_fb": True, "rn_zb_kappa": KAPPA}, "waits for the flags of a coupler"),
        ({"ln_zb20_fb": True, "ln_zb20": True, "rn_zb_kappa": KAPPA}, "Set one of them to .false."),
    ],
)
def test_a_switch_that_cannot_work_is_refused(zb20_run, switches, words):
    done = zb20_run({"namzb20": switches}, coupler=0, ok=False)
    assert words in done.text and "ln_zb20_fb" in done.text


# --- Distances -------------------------------------------------------------------------------------------------------

WINDOW = '''
import numpy as np
CONTRACT = {
    "name": "window", "version": "1", "family": "test", "license": "MIT", "radius": 0, "dtype": "f8",
    "decomposition": "bitwise",
    "inputs": [{"name": f"gphi{n}", "units": "km", "point": n.upper(), "static": True} for n in "tuv"],
    "outputs": [{"name": f"d{n}", "units": "m s-2", "point": n.upper(), "levels": 2} for n in "uv"],
}


def run(inputs):
    """Each face gets 1e-12 times its distance from the southern wall."""
    return {f"d{n}": 1e-12 * np.concatenate([inputs["gphi" + FROM]] * 2) for n in "uv"}
'''


def windowed(zb20_run, folder, taken, boundary="closed", **layout):
    """Largest difference between what the ocean added and what mesh_mask.nc says."""
    (folder / "broken.py").write_text(WINDOW.replace("FROM", taken))
    groups = coupling()
    groups["namexc"] = [
        {"cn_name": "places", "cn_dir": "to_coupler", "ln_static": True, "cn_fields": ["gphit", "gphiu", "gphiv"]},
        {"cn_name": "tendency", "cn_dir": "to_ocean", "cn_fields": ["du", "dv"]},
    ]
    groups["namnet"] = {"cn_name": "window", "cn_artefact": "broken.py"}
    run = zb20_run(groups, TRENDS, link=(folder / "broken.py",), boundary=boundary, **layout)
    mesh = run.open("mesh_mask.nc")
    worst = 0.0
    for n, got in zip("uv", trends(run, "cpl"), strict=True):
        want = np.squeeze(mesh[f"gphi{n}"].values) * np.squeeze(mesh[f"{n}mask"].values)
        worst = max(worst, abs(got - 1e-12 * want).max())
        assert abs(got).max() > 1e-10
    return worst


@pytest.mark.parametrize("boundary", ["closed", "fold_T"])
def test_distances_are_those_of_the_mesh(zb20_run, tmp_path, boundary):
    assert windowed(zb20_run, tmp_path, "n", boundary, ocean=4, coupler=2) < 1e-24


def test_distances_of_another_point_are_caught(zb20_run, tmp_path):
    """The broken twin: half a cell, 20 km, off at V points."""
    assert windowed(zb20_run, tmp_path, "'t'") > 1e-11


def test_ln_cpl_may_share_a_line(mpirun, tmp_path):
    """The ocean looks for ln_cpl before MPI starts, with eyes of its own: it must find it wherever Fortran would."""
    coupled = namelist_text({name: group for name, group in merged(OCEAN, coupling()).items() if name != "namrun"})
    (tmp_path / "namelist_cfg").write_text(f"&namrun cn_exp = 'T', nn_itend = 2, ln_cpl = .true. /\n{coupled}")
    done = mpirun(["-np", 1, executable("double"), ":", "-np", 1, "halocline", "couple", "."], np=None, cwd=tmp_path)
    assert done.rc == 0 and (tmp_path / "halocline.coupler.json").exists(), done.text

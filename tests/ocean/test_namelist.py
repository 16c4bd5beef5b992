"""Namelists: what is refused, and that the message says group, member, file, line and what to do."""

import re

import f90nml
import pytest

from .conftest import ROOT, SMALL, write_namelist

RUN = "&namrun\n  cn_exp = 'TEST'\n  nn_itend = 2\n/\n"


def message(run) -> str:
    """The one message of a run that was stopped: in halocline.abort, and once on stderr."""
    text = (run.rundir / "halocline.abort").read_text()
    assert run.stderr.count(text.splitlines()[0]) == 1
    assert text in run.log
    assert "Backtrace" not in run.stderr and "Error termination" not in run.stderr
    return text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (RUN + "&namdom\n  rn_Dt = 3200.\n  rn_Dx = 1.\n/\n", ["rn_Dx", "&namdom", "namelist_cfg line 7", "no switch"]),
        (RUN + "&namdom rn_Dt = 3200. rn_oops = 1. /\n", ["rn_oops", "&namdom", "namelist_cfg line 5"]),
        (RUN + "&namdom\n  rn_Dt = soon\n/\n", ["rn_Dt", "&namdom", "namelist_cfg line 6", "cannot be read"]),
        (RUN + "&namusr_def\n\n  nn_nx = 4.5 ! cells\n/\n", ["nn_nx", "&namusr_def", "namelist_cfg line 7"]),
        (RUN + "&namusr_def\n  ln_cyclic = perhaps\n/\n", ["ln_cyclic", "namelist_cfg line 6"]),
        (RUN + "&namusr_def\n  nn_layers = 3\n/\n", ["layer 3", "rn_H", "nn_layers"]),
        (RUN + "&namusr_def\n  nn_nx = 10 20\n/\n", ["nn_nx", "namelist_cfg line 6"]),
        (RUN + "&namsbc\n  cn_wind = 'storm'\n/\n", ["storm", "namelist_cfg line 6", "gyre, channel, none"]),
        (RUN + "&namzb20\n  rn_zb_kappa = -1.\n/\n", ["namelist_cfg line 6", "negative"]),
        (RUN + "&namdom\n  rn_Dt = 3200.\n", ["&namdom", "no closing", "line 5"]),
        (RUN + RUN, ["&namrun", "twice", "line 2", "line 5"]),
        (RUN + "&namdom\n  3200.\n/\n", ["3200.", "&namdom", "line 6"]),
        (RUN.replace("= 2", "= 0"), ["nn_itend", "line 3"]),
        (RUN.replace("= 2", "= 9\n nn_it000 = 5"), ["nn_it000", "line 4", "ln_rstart"]),
        (RUN.replace("= 2", "= 2\n nn_date0 = 10231"), ["nn_date0", "no such day"]),
        (RUN + "&namdia nn_burst = 4, nn_burst_d = 2 /\n", ["nn_burst_d", "overlap"]),
        (
            RUN.replace("= 2", "= 2\n nn_write = 1") + "&namdia\n cn_inst = 'vozocrtx salt' /\n",
            ["salt", "cn_inst", "line 7"],
        ),
    ],
)
def test_refused_in_words(ocean, text, expected):
    run = ocean(text=text, ok=False, ranks=2, timeout=20)
    got = message(run)
    assert got.startswith("gyre: error: ")
    for word in expected:
        assert word.lower() in got.lower(), got
    assert not list(run.rundir.glob("*restart*"))


def test_missing_namelist(ocean):
    got = message(ocean(ok=False, timeout=20))
    assert "namelist_cfg" in got and "missing" in got and "namelists/" in got


def test_foreign_groups_are_left_alone(ocean):
    """Groups of other programs, repeated ones too, odd ones too, do no harm."""
    foreign = (
        "&namcpl\n cn_transport = 'mpi', x/\n&namexc\n a%b(3) = 1 /\n&namexc nonsense without name /\n"
        "words between groups\n&namsbc_iof\n sn = 'a', 24., '/' \n/\n"
    )
    plain = ocean(text=RUN, name="plain")
    mixed = ocean(text=foreign + RUN + foreign, name="mixed")
    assert plain.stat.tobytes() == mixed.stat.tobytes()


def test_syntax_that_namelists_allow(ocean):
    """Several assignments on a line, values over lines, quotes with '!' and '/', indices, upper case, tabs, comments."""
    text = (
        "&NAMRUN cn_exp = 'A!/B' NN_ITEND = 2, nn_stat=1 /\n"
        "&namusr_def\n\tnn_nx = 6, nn_ny = 7 ! cells = many\n rn_H = 400., ! upper\n  800.\n rn_gred(1) = 0.01\n/\n"
    )
    run = ocean(text=text.replace("A!/B", "A!B"))
    assert (run.rundir / "A!B_00000002_restart.nc").exists()
    assert "6 x 7 wet cells" in run.log
    assert run.stat[-1, -1] == pytest.approx(400.0, abs=0.1)


def test_namelist_ref_documents_the_defaults(ocean, tmp_path):
    """With namelist_ref beside it a run is the run without: the documented defaults are the compiled ones."""
    text = "&namrun nn_itend = 20, nn_stat = 1, cn_exp = 'TEST' /\n&namusr_def rn_pert = 1. /\n"
    plain = ocean(text=text, name="plain")
    (tmp_path / "ref").mkdir()
    ref = (ROOT / "namelists" / "namelist_ref").read_text()
    (tmp_path / "ref" / "namelist_ref").write_text(ref)
    with_ref = ocean(text=text, name="ref")
    assert plain.stat.tobytes() == with_ref.stat.tobytes()
    changed = ref.replace("2.e-8, 2.e-7", "3.e-8, 2.e-7")
    (tmp_path / "ref" / "namelist_ref").write_text(changed)
    assert plain.stat.tobytes() != ocean(text=text, name="ref").stat.tobytes()


def test_namelist_ref_has_every_switch_with_a_comment():
    """Each member of each namelist in the sources stands in namelist_ref, with a default of the same value, and a comment."""
    ref = (ROOT / "namelists" / "namelist_ref").read_text().split("!! --- Halocline")[0]
    known = f90nml.reads(ref)
    for source in (ROOT / "fortran_stub" / "src").glob("*.f90"):
        code = re.sub(r"&\s*\n\s*&", " ", source.read_text())
        for group, members in re.findall(r"^\s*namelist\s*/(\w+)/(.*)$", code, re.M):
            for member in members.replace(" ", "").split(","):
                assert member.lower() in known[group.lower()], f"{member} of &{group}"
    for line in ref.splitlines():
        if "=" in line and not line.startswith("!!"):
            assert "!" in line or line.strip().startswith(("cn_mean", "cn_burst")), line
        if "=" in line and re.match(r"\s+\w+\s*=", line):
            name, default = re.match(r"\s+(\w+)\s*=\s*([^!]*)", line).groups()
            declared = re.compile(rf"::.*\b{name}\s*=\s*([^,!\n]*)", re.I)
            found = [declared.search(s.read_text()) for s in (ROOT / "fortran_stub" / "src").glob("*.f90")]
            values = [m.group(1).strip().replace("_wp", "") for m in found if m]
            if len(values) == 1 and not default.strip().count(","):
                assert same_value(default.strip(), values[0]), f"{name}: documented {default}, compiled {values[0]}"


def same_value(one: str, two: str) -> bool:
    try:
        return float(one) == float(two)
    except ValueError:
        return one == two


@pytest.mark.parametrize("ranks", [5, 7])
def test_more_ranks_than_fit(ocean, ranks):
    """A grid of 5 x 5 cells has room for 2 x 2 subdomains."""
    tiny = {"namusr_def": {"nn_nx": 3, "nn_ny": 3}, "namrun": {"nn_itend": 2}}
    got = message(ocean(tiny, ok=False, ranks=ranks, timeout=30))
    assert f"{ranks}" in got and "5 x 5" in got and "is 4" in got
    ocean(tiny, ranks=4)


@pytest.mark.parametrize(("jpni", "jpnj"), [(2, 2), (3, 1), (0, 3)])
def test_decomposition_that_does_not_make_the_ranks(ocean, jpni, jpnj):
    got = message(ocean({"nammpp": {"jpni": jpni, "jpnj": jpnj}}, ok=False, ranks=2, timeout=30))
    assert "2 ranks" in got and "&nammpp" in got


def test_helper_writes_what_it_is_told(tmp_path):
    write_namelist(tmp_path / "n", {"namrun": {"nn_itend": 7}})
    assert f90nml.read(tmp_path / "n")["namrun"]["nn_itend"] == 7
    assert SMALL["namrun"]["nn_itend"] == 60

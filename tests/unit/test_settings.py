"""Namelists: our groups are checked to the letter, foreign ones are left alone, messages name line and neighbour."""

import f90nml
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coupler import settings
from coupler.errors import HaloclineError
from coupler.namelist import distance, read_groups
from models.settings import text as of_models

GOOD = """\
!! a NEMO file may look like this
&namrun        !   parameters of the run
   nn_no = 0 ; this line is not even a namelist
   cn_exp = "it's / here"
/
&namctl  sn_cfctl%l_runstat = .true. /
&namsbc / ! neighbour of namexc
&NAMCPL
   nn_wire = 32     ! nn_wire = 16 in a comment is nothing
   rn_timeout = 30
   cn_python_allow = 'a.py', 'b / c.py'
/
&namexc
   cn_name = 'state', cn_dir = 'to_coupler'
   cn_fields = 'u','v'
/
&namexc
   cn_name = 'tendency' cn_dir = 'to_ocean' cn_fields = 'du' rn_period = 6400.
/
"""


@pytest.fixture
def cfg(tmp_path):
    def write(text):
        (tmp_path / "namelist_cfg").write_text(text)
        return tmp_path

    return write


def message(folder):
    with pytest.raises(HaloclineError) as error:
        settings.load(folder)
    return str(error.value)


def test_a_shared_file_is_read(cfg):
    got = settings.load(cfg(GOOD))
    assert (got.namcpl.nn_wire, got.namcpl.rn_timeout, got.namcpl.ln_active) == (32, 30.0, True)
    assert got.namcpl.cn_python_allow == ["a.py", "b / c.py"]
    assert [group.cn_name for group in got.namexc] == ["state", "tendency"]
    assert got.namexc[1].cn_fields == ["du"] and got.namexc[1].rn_period == 6400.0


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("nn_wire = 32", "nn_wier = 32", ["unknown key 'nn_wier' in &namcpl", "'nn_wire'", "line 9"]),
        ("nn_wire = 32", "nn_wire = 16", ["nn_wire = 16 is not allowed", "32 or 64", "line 9"]),
        ("rn_timeout = 30", "rn_timeout = 'long'", ["rn_timeout = 'long'", "line 10"]),
        ("rn_timeout = 30", "rn_timeout = -1.", ["rn_timeout = -1.0", "greater than 0", "line 10"]),
        ("rn_timeout = 30", "rn_timeout = inf", ["rn_timeout = inf is not allowed", "finite", "line 10"]),
        ("rn_timeout = 30", "rn_timeout = 30\n rn_timeout = -1.", ["rn_timeout = -1.0", "line 11"]),
        ("cn_dir = 'to_coupler'", "cn_dir = 'rcv'", ["'to_coupler' or 'to_ocean'", "line 14"]),
        ("cn_name = 'state',", "", ["'cn_name' is missing in &namexc", "line 13"]),
        ("cn_name = 'state'", "cn_name = 'tendency'", ["'tendency' stands in two groups &namexc", "line 18"]),
        ("'u','v'", "'u','u'", ["field 'u' travels to_coupler twice", "line 15"]),
        ("&NAMCPL", "&namcpll", ["unknown group &namcpll, did you mean &namcpl?", "line 8"]),
        ("rn_period = 6400.\n/", "rn_period = 6400.\n", ["no closing slash", "line 17"]),
        ("&NAMCPL", "&namcpl /\n&namcpl", ["&namcpl stands twice", "line 9"]),
    ],
)
def test_mistakes_are_named_with_their_line(cfg, old, new, words):
    assert old in GOOD
    text = message(cfg(GOOD.replace(old, new, 1)))
    for word in words:
        assert word in text


def test_all_mistakes_at_once(cfg):
    text = message(cfg(GOOD.replace("nn_wire = 32", "nn_wier = 32").replace("'to_ocean'", "'ocean'")))
    assert "nn_wier" in text and "'ocean'" in text


def test_a_group_of_the_reference_ocean_is_no_misspelt_one_of_ours(tmp_path):
    path = tmp_path / "namelist_cfg"
    path.write_text("&namdia nn_burst = 540 /\n")
    assert settings.load(path).namexc == []
    path.write_text("&namdiagg /\n")
    with pytest.raises(HaloclineError, match="did you mean &namdiag"):
        settings.load(path)


def test_a_missing_file_is_an_error(tmp_path):
    assert "cannot read the namelist" in message(tmp_path / "nowhere")


def test_the_reference_holds_every_switch_and_reads_back():
    parsed = f90nml.reads(settings.reference_text())
    for name, model in settings.GROUPS.items():
        assert {key.lower() for key in model.model_fields} == set(parsed[name])
    for name in ("namcpl", "namdiag"):
        model = settings.GROUPS[name]
        defaults = model.model_validate(model().model_dump())
        for key, value in defaults.model_dump().items():
            read = parsed[name][key.lower()]
            assert (([] if read == "" else [read]) if isinstance(value, list) else read) == value


def test_namelist_ref_of_the_repository_is_up_to_date(repo):
    text = (repo / "namelists" / "namelist_ref").read_text()
    for part in (settings.reference_text(), of_models()):
        assert part.rstrip() in text, "write it again: halocline reference"


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=300))
def test_any_text_is_read_or_refused_in_words(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("fuzz") / "namelist_cfg"
    path.write_text(text, encoding="utf-8")
    try:
        settings.load(path)
    except HaloclineError as error:
        assert str(error)


@given(
    st.lists(
        st.sampled_from(["&namcpl", "/", "'", '"', "!", "nn_wire", "=", "64", "\n", " ", ",", "&x", "(1)"]), max_size=30
    )
)
def test_fragments_of_namelists_are_read_or_refused_in_words(tmp_path_factory, parts):
    path = tmp_path_factory.mktemp("fuzz") / "namelist_cfg"
    path.write_text("".join(parts))
    try:
        settings.load(path)
    except HaloclineError as error:
        assert str(error)


def test_a_group_inside_a_group_is_refused(cfg):
    assert "cannot read namelist group &namcpl" in message(cfg("&namcpl&namcpl&namcpl/"))


def test_groups_know_their_lines(cfg):
    groups = read_groups(settings.config_file(cfg(GOOD)))
    assert [(group.name, group.line) for group in groups][:4] == [
        ("namrun", 2),
        ("namctl", 6),
        ("namsbc", 7),
        ("namcpl", 8),
    ]


@given(st.text("abcn", max_size=7), st.text("abcn", max_size=7))
def test_distance_is_a_metric(a, b):
    assert distance(a, b) == distance(b, a)
    assert (distance(a, b) == 0) == (a == b)
    assert abs(len(a) - len(b)) <= distance(a, b) <= max(len(a), len(b))

"""The namcouple: read, translated, merged into a foreign one, compared; what OASIS would misread is refused with its line."""

import pytest

from coupler.oasis import PyOasisException
from coupler.oasis.dialect import alias, check, own_name, translate
from coupler.oasis.namcouple import Entry, compare, compose, merge, parse, verify, write
from tests.oasis.conftest import entry, namcouple

# As a modelling centre keeps it: comments, a mapping, a lag, a colon list, odd blanks.
FOREIGN = """# coupled with the atmosphere
 $NFIELDS
# ocean to atmosphere, and back
             2
 $END
 $NBMODEL
   2   oceanx   toyatm  99 99
 $END
 $RUNTIME
  86400
 $END
 $NLOGPRT
   1
 $END
 $STRINGS
#  sea surface temperature
SSTOCEAN:ICE SSTATMOS:ICEATM 1 3600  2  fdoce.nc EXPORTED
182 149 96 72 torc lmdz LAG=+1800 SEQ=+1
P 2 P 0
LOCTRANS SCRIPR
 AVERAGE
 DISTWGT LR SCALAR LATLON 10 4
#
FLXATMOS FLXOCEAN 1 3600 1  fdatm.nc EXPOUT
96 72 182 149 lmdz torc  SEQ=2
P 0 P 2
MAPPING
 my_remapping_file.nc dst
 $END
"""
OURS = [
    Entry("O_SST", "E_SST", 1200, (182, 149, 182, 149), ("torc", "torc")),
    Entry("E_DSST", "O_DSST", 1200, (182, 149, 182, 149), ("torc", "torc"), lag=1200, restart="nn.nc"),
]


def test_a_foreign_file_is_understood():
    found = parse(FOREIGN)
    assert (found.models, found.runtime, found.fields) == (("oceanx", "toyatm"), 86400, 2)
    sst, flux = found.entries
    assert sst.pairs == [("SSTOCEAN", "SSTATMOS"), ("ICE", "ICEATM")]
    assert (sst.period, sst.lag, sst.seq, sst.size, sst.grids) == (3600, 1800, 1, (182, 149, 96, 72), ("torc", "lmdz"))
    assert sst.operations == (("LOCTRANS", ("AVERAGE",)), ("SCRIPR", ("DISTWGT LR SCALAR LATLON 10 4",)))
    assert (flux.status, flux.lag, flux.seq, flux.line) == ("EXPOUT", 0, 2, 24)
    assert flux.operations == (("MAPPING", ("my_remapping_file.nc dst",)),)


def test_what_is_composed_is_read_back():
    text = compose(["oceanx", "eophis"], 86400, OURS)
    found = parse(text)
    assert list(found.entries) == OURS
    assert compare(found, ["oceanx", "eophis"], 86400, OURS) == []
    check(found, text)


def test_merging_touches_no_foreign_line():
    text = merge(FOREIGN, ["oceanx", "halocline"], 86400, OURS)
    lines, kept = text.splitlines(), FOREIGN.splitlines()
    changed = [line for line in kept if line not in lines]
    assert changed == ["             2", "   2   oceanx   toyatm  99 99"]
    found = parse(text)
    assert (found.fields, found.models) == (4, ("oceanx", "toyatm", "halocline"))
    assert found.entries[:2] == parse(FOREIGN).entries
    assert list(found.entries[2:]) == OURS
    check(found, text)


def test_merging_again_replaces_only_our_block():
    once = merge(FOREIGN, ["oceanx", "halocl"], 86400, OURS)
    assert merge(once, ["oceanx", "halocl"], 86400, OURS) == once
    fewer = parse(merge(once, ["oceanx", "halocl"], 86400, OURS[:1]))
    assert (fewer.fields, len(fewer.entries)) == (3, 3)


def test_writing_merges_and_verifying_compares(tmp_path):
    path = tmp_path / "namcouple"
    write(path, ["oceanx", "eophis"], 86400, OURS)
    assert path.read_text() == compose(["oceanx", "eophis"], 86400, OURS)
    path.write_text(FOREIGN)
    write(path, ["oceanx", "halocl"], 86400, OURS)
    assert path.read_text() == merge(FOREIGN, ["oceanx", "halocl"], 86400, OURS)
    verify(path, ["oceanx", "halocl"], 86400, OURS)
    with pytest.raises(PyOasisException, match="RUNTIME is 86400, the namelists say 43200"):
        verify(path, ["oceanx", "halocl"], 43200, OURS)


def test_merging_refuses_another_length_and_a_second_source():
    with pytest.raises(PyOasisException, match="RUNTIME is 86400 s, the namelists say 43200 s"):
        merge(FOREIGN, ["oceanx"], 43200, OURS)
    with pytest.raises(PyOasisException, match="line 24: field 'FLXOCEAN' is already filled by 'FLXATMOS'"):
        merge(FOREIGN, ["oceanx"], 86400, [Entry("X", "FLXOCEAN", 3600)])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("E_SST 1 1200", "E_SST 1 2400"), "period of 'O_SST' is 2400, the namelists say 1200"),
        (("LAG=1200", "LAG=0"), "lag of 'E_DSST' is 0, the namelists say 1200"),
        (("INSTANT", "AVERAGE"), "is transformed on the way (LOCTRANS)"),
        (("O_DSST", "O_XXXX"), "field 'E_DSST' -> 'O_DSST' is missing"),
        (("86400", "86399"), "$RUNTIME is 86399"),
        (("2 oceanx eophis", "1 oceanx"), "$NBMODEL lacks 'eophis'"),
        ((" $NFIELDS\n2", " $NFIELDS\n3"), "$NFIELDS is 3"),
    ],
)
def test_a_changed_file_is_noticed(change, words):
    text = compose(["oceanx", "eophis"], 86400, OURS)
    assert change[0] in text
    differences = compare(parse(text.replace(*change)), ["oceanx", "eophis"], 86400, OURS)
    assert words in " ".join(differences)


def test_a_later_dialect_is_translated():
    text = namcouple(
        entry("A", "B", restart="a_long_name.nc"), entry("C", "D").replace("EXPORTED", "IGNORED"), fields=7
    )
    new, unit = translate(parse(text), ["left", "right"])
    assert unit == 1
    found = parse(new)
    check(found, new)
    assert (found.fields, found.models) == (2, ("left", "right"))
    assert [e.status for e in found.entries] == ["EXPORTED", "EXPORTED"]
    assert all(e.instant and e.operations and e.restart == "rst.nc" for e in found.entries)


def test_times_of_more_than_eight_digits_get_a_larger_unit():
    text = namcouple(entry("A", "B", period=5400, line2="1 1 1 1 a b LAG=5400"), runtime=311_040_000)
    new, unit = translate(parse(text), ["left", "right"])
    found = parse(new)
    assert (unit, found.runtime, found.entries[0].period, found.entries[0].lag) == (5400, 57600, 1, 1)


TAIL = "\n10 20 10 20 ocea ocea  LAG=0\nR  0  R  0\nLOCTRANS\nINSTANT"
GOOD = compose(["left", "right"], 40, [Entry("A", "B", 10, (10, 20, 10, 20))])


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (" $NBMODEL", "$NBMODEL", "line 4: a keyword without its one leading blank"),
        (" $NLOGPRT", "\n $NLOGPRT", "line 10: a blank line"),
        ("A B", "A\tB", "a tab"),
        ("A B 1", f"{'A:' * 600}A B 1", "at most 1000 are read"),
        ("2 left", "3 mid left", "couples 3 models"),
        ("left right", "component1 component2", "the same in their first 6 letters"),
        ("left right", "this that", "'left' is not among the models"),
        ("\n1\n", "\n2\n", "$NFIELDS is 2, but $STRINGS holds 1"),
        ("\n40\n", "\n100000000\n", "100000000 has more than 8 digits"),
        ("1 10 1 rst", "1 0 1 rst", "period 0"),
        ("LAG=0", "LAG=11", "LAG=11"),
        ("LAG=0", "LAG=-10", "LAG=-10"),
        (
            "rst.nc EXPORTED\n10 20 10 20 ocea ocea  LAG=0",
            "restart.nc EXPORTED\n1 1 1 1 a b LAG=10",
            "has 10 letters, OASIS keeps 8",
        ),
        ("A B", f"{'A' * 129} B", "has 129 letters, OASIS keeps 128"),
        (f"1 rst.nc EXPORTED{TAIL}", "0 rst.nc EXPORTED\n1 1 1 1 a b\nR 0 R 0", "with 0 transformations"),
        (f"1 rst.nc EXPORTED{TAIL}", "0 rst.nc IGNORED\n1 1 1 1 a b", "crashes this OASIS"),
    ],
)
def test_what_oasis_would_misread_is_refused(old, new, words):
    """Each of these makes Debian's library abort with exit code 0, crash, or couple nothing."""
    assert old in GOOD
    text = GOOD.replace(old, new)
    with pytest.raises(PyOasisException) as caught:
        found = parse(text)
        check(found, text)
        own_name("left", found, 2)
    assert words in str(caught.value)


def test_the_good_file_passes():
    check(parse(GOOD), GOOD)
    assert own_name("left", parse(GOOD), 2) == "left"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (" $RUNTIME\n40\n $END\n", "", "section '$RUNTIME' is missing"),
        ("\n40\n", "\nforty\n", "forty"),
        ("A B 1 10", "A B", "line 15: this field of $STRINGS cannot be read"),
        ("2 left right", "2 left", "announces 2 models and names 1"),
    ],
)
def test_a_damaged_file_is_refused_with_its_place(old, new, words):
    with pytest.raises(PyOasisException) as caught:
        parse(GOOD.replace(old, new))
    assert words in str(caught.value)


def test_aliases_are_short_and_unique():
    names = ["toy_earth", "toy_earth_2", "toy_earth_3", "toy_ea", "x"]
    short = alias(names)
    assert list(short) == names
    assert len(set(short.values())) == 5
    assert all(len(name) <= 6 for name in short.values())
    with pytest.raises(PyOasisException, match="10 components .* at most 9"):
        alias([f"component{n}" for n in range(10)])

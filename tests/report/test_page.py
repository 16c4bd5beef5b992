"""The page: complete in itself, honest about what is absent, readable without eyes and without a network."""

import base64
import re
from html.parser import HTMLParser

import pytest

from coupler.errors import HaloclineError
from models.report.page import report
from models.report.run import read
from tests.report.small import coupled, ocean

SECTIONS = ("summary", "series", "maps", "spectra", "clock", "networks", "configuration", "provenance")
VOID = {"img", "meta", "link", "br"}


class Reader(HTMLParser):
    """References, images, ids and headings of a page; `open` is empty when every element was closed."""

    def __init__(self, text):
        super().__init__()
        self.references, self.images, self.ids, self.levels, self.open = [], [], [], [], []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.references += [given[key] for key in ("src", "href", "srcset", "data") if key in given]
        self.ids += [given["id"]] if "id" in given else []
        if tag == "img":
            self.images.append(given)
        if re.fullmatch(r"h[1-6]", tag):
            self.levels.append(int(tag[1]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data):
        if "style" not in self.open:
            self.words += data


def foreign(page):
    """What a page would have to fetch."""
    return [ref for ref in page.references if not ref.startswith(("#", "data:"))]


def mute(page):
    """Images without words for those who do not see them."""
    return [image for image in page.images if len(image.get("alt", "")) < 20]


@pytest.mark.parametrize("kind", ["full", "nemo", "failed"])
def test_a_page_is_one_file_well_formed_with_every_section(kind, request):
    written = request.getfixturevalue(kind)
    page = Reader(written.text)
    assert not page.open and not foreign(page) and not mute(page)
    assert set(SECTIONS) <= set(page.ids) and len(set(page.ids)) == len(page.ids)
    anchors = [ref[1:] for ref in page.references if ref.startswith("#")]
    assert set(anchors) <= set(page.ids)
    assert page.levels[0] == 1 and all(b - a <= 1 for a, b in zip(page.levels, page.levels[1:], strict=False))
    assert "Traceback" not in page.words and "url(" not in written.text and "@import" not in written.text


def test_a_page_that_fetches_or_is_mute_is_seen():
    page = Reader('<html><img src="https://example.org/a.png"><link href="style.css"></html>')
    assert foreign(page) == ["https://example.org/a.png", "style.css"] and len(mute(page)) == 1
    with pytest.raises(AssertionError, match="closes nothing"):
        Reader("<div><p></div>")


def test_every_picture_lies_beside_the_page_too(full):
    page = Reader(full.text)
    embedded = {base64.b64decode(image["src"].partition(",")[2]) for image in page.images}
    files = {path.read_bytes() for path in full.page.parent.glob("*.png")}
    assert embedded == files and len(page.images) == len(files) > 25
    assert not list(full.page.parent.glob("*.part"))
    for image in page.images[:3]:
        assert {image["width"], image["height"]} <= set(map(str, read_size(image)))


def read_size(image):
    data = base64.b64decode(image["src"].partition(",")[2])
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


def test_the_full_page_says_what_matters(full):
    words = Reader(full.text).words
    for said in (
        "ended well",
        "Coupled to gz21",
        "100\n",
        "MIT",
        "Guillaumin and Zanna (2021)",
        "as pinned in the namelist",
    ):
        assert said in words or said.strip() in words, said
    for said in ("abc123", "9.9", "As the run recorded them", "Scores against the truth", "Noise floor", "gz du.range"):
        assert said in words, said
    assert "1e-06" in words and "nn_wire" in words  # what is set, and what is not
    assert "alone has" not in words and "closure has &namcpl" in words


def test_energies_of_both_runs_and_of_the_networks_are_drawn(full):
    alts = [image["alt"] for image in Reader(full.text).images]
    energy = next(alt for alt in alts if alt.startswith("Kinetic energy, all layers"))
    assert "closure from" in energy and "alone from" in energy and "J m-2" in energy
    assert any(alt.startswith("Energy input of the networks") and "W m-2" in alt for alt in alts)
    assert any(alt.startswith("Interventions of the guards") for alt in alts)
    names = {path.name for path in full.page.parent.glob("map_*.png")}
    for quantity in ("ssh_mean", "ssh_rms", "thickness_mean", "speed_mean", "speed_rms"):
        assert {f"map_{quantity}.png", f"map_{quantity}_other.png", f"map_{quantity}_difference.png"} <= names
    assert "map_guard_du.png" in names


def test_a_failed_run_shows_its_message_and_what_it_lacks(failed):
    text, words = failed.text, Reader(failed.text).words
    assert "badge failed" in text and "returned nan in <du> & more" in words and "&lt;du&gt;" in text
    assert "halocline: ocean 'gyre'" in words  # the last lines of its log
    absent = words[words.index("What is absent, and why") :]
    for what in (
        "no output EXP_FIRST_LAST_inst.nc",
        "no halocline_diag.nc",
        "no end markers",
        "no halocline_energy.csv",
    ):
        assert what in absent


def test_of_nemo_the_surface_is_mapped_and_the_rest_said_to_be_absent(nemo):
    words = Reader(nemo.text).words
    assert "Sea surface height" in words and "there is no run.stat" in words and "no coupler took part" in words
    assert (nemo.page.parent / "map_sea_surface_height_mean.png").is_file()
    assert "15 days" in " ".join(words.split())


def test_a_run_of_damaged_files_is_reported_without_an_end_in_an_error(tmp_path):
    run = coupled(tmp_path / "run", states=2)
    for name in (
        "halocline.coupler.json",
        "run.stat",
        "halocline_energy.csv",
        "namelist_cfg",
        "halocline.guard.0000.jsonl",
    ):
        data = (run / name).read_bytes()
        (run / name).write_bytes(data[: len(data) // 2] + b"\xff\x00{")
    for path in run.glob("*.nc"):
        path.write_bytes(path.read_bytes()[:1000])
    page = Reader(report(run).read_text(encoding="utf-8"))
    assert not page.open and "cannot be read" in page.words


def test_an_older_picture_does_not_stay(tmp_path):
    run = ocean(tmp_path / "run", states=2)
    for path in run.glob("*.nc"):
        path.unlink()
    (run / "run.stat").unlink()
    (run / "report").mkdir()
    (run / "report" / "map_ssh_mean.png").write_bytes(b"old")
    report(run)
    assert [path.name for path in (run / "report").iterdir()] == ["index.html"]


def test_a_place_that_takes_nothing_is_said(tmp_path):
    run = ocean(tmp_path / "run", states=2)
    (tmp_path / "file").touch()
    with pytest.raises(HaloclineError, match="cannot write the report"):
        report(run, out=tmp_path / "file" / "out")
    with pytest.raises(HaloclineError, match="no run folder"):
        report(run, against=tmp_path / "nowhere")


def test_the_run_itself_stays_as_it_was(tmp_path):
    run = coupled(tmp_path / "run", states=2)
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    read(run)
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before

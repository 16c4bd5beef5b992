"""The page in a real browser: every image decoded, nothing fetched, nothing complained about, at any width."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium")
ASK = """<script>addEventListener('load', () => { const all = [...document.images], root = document.documentElement;
document.body.dataset.found = [all.length, all.filter(i => i.complete && i.naturalWidth > 0).length,
root.scrollWidth - root.clientWidth].join(' '); });</script>"""
POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')


def browse(page: Path, folder: Path, *options: str) -> subprocess.CompletedProcess:
    """The document as the browser holds it on stdout, what it complains about on stderr. No name is resolved."""
    command = [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom",
        "--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={folder}/profile",
        *options, page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return done


def complaints(done: subprocess.CompletedProcess) -> list[str]:
    """Errors on the page's console: of scripts, of the policy, of what could not be fetched."""
    return [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def measured(text: str, folder: Path, width: int) -> tuple[int, int, int]:
    """Images, those that were decoded, and by how many pixels the page is wider than its window."""
    page = folder / "measured.html"
    page.write_text(POLICY.sub("", text).replace("</body>", f"{ASK}</body>"), encoding="utf-8")
    found = re.search(r'data-found="(\d+) (\d+) (-?\d+)"', browse(page, folder, f"--window-size={width},2000").stdout)
    assert found, "the page did not load"
    return int(found[1]), int(found[2]), int(found[3])


def test_nothing_is_complained_about_and_nothing_fetched(full, tmp_path):
    assert complaints(browse(full.page, tmp_path)) == []
    foreign = tmp_path / "foreign.html"
    foreign.write_text(full.text.replace("<h1>", '<img src="http://example.org/a.png" alt=""><h1>'), encoding="utf-8")
    assert any("example.org" in line for line in complaints(browse(foreign, tmp_path)))


@pytest.mark.parametrize("width", [1400, 700])
def test_every_image_is_decoded_and_the_page_fits_its_window(full, tmp_path, width):
    images, decoded, wider = measured(full.text, tmp_path, width)
    assert images == decoded > 25 and wider <= 0


def test_a_broken_image_and_a_page_that_is_too_wide_are_seen(full, tmp_path):
    first = re.search(r"base64,[A-Za-z0-9+/]{64}", full.text)[0]
    broken = full.text.replace(first, "base64,AAAA", 1).replace("<h1>", '<div style="width: 3000px">x</div><h1>')
    images, decoded, wider = measured(broken, tmp_path, 700)
    assert decoded == images - 1 and wider > 2000

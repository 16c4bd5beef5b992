"""The table of closures that were trained in several ways, from run folders that were made up: every seed, every end."""

import copy
import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from coupler.errors import HaloclineError
from models.campaign import matrix, online_card, online_judge, online_plan, online_report, online_table, runs, truth
from models.campaign.online_training import stages
from models.evaluation.climate import Climate
from models.training import cost
from tests.conftest import REPO

QUIET = Console(quiet=True)
STATISTICS = REPO / "models" / "zoo" / "closures"
NETWORK = REPO / "models" / "zoo" / "gyre_momentum" / "gyre_momentum.onnx"
CONVENTIONAL = json.loads((STATISTICS / "conventional.json").read_text())
LOST = ("gyre_rollout", 2, "unseen", 77)  # a seed that blows up there on day 77
CARD = "# name\n\n## Offline\n\nscores\n\n## Online\n\nNot scored yet.\n\n## The namelist that made it\n\ntext\n"


def trained(folder, design, seed, r2):
    """What a training leaves, without one."""
    label = f"{design.name}_s{seed}"
    (folder / label).mkdir(parents=True)
    shutil.copyfile(NETWORK, folder / label / f"{label}.onnx")
    shutil.copyfile(design.cfg / "namelist_cfg", folder / label / "namelist_cfg")
    test = [{"output": name, "r2_zero": r2} for name in ("du1", "dv1")]
    (folder / label / "scores.json").write_text(json.dumps({"test": test}))
    (folder / label / "README.md").write_text(CARD)
    (folder / label / "cost.json").write_text(json.dumps({"cpu_s": 60.0 * seed, "lost": 0, "running": False}))


def ran(campaign, row, climate, day=None):
    """The folder of a run that ended with this climate, or on a day."""
    folder = campaign.path(row)
    folder.mkdir(parents=True)
    ended = {"status": "finished"} if day is None else {"status": "blew up", "day": day, "message": "outcrops"}
    about = {"row": row.name, "family": row.family, "wind": row.wind, "grid": row.grid.name, "years": row.years}
    hashes = {"namelist": {"sha256": runs._namelist_hash(row)}, "artefact": {"sha256": runs.sha256(row.artefact)}}
    command = f"/usr/bin/mpirun {folder}"
    (folder / "row.json").write_text(json.dumps({**about, **ended, **hashes, "command": command}))
    if day is None:
        climate.save(folder / "climate.npz")


def between(one, other, part):
    """A climate between two, in its maps and spectra; its counts are the first one's."""
    mixed = {
        key: {name: (1 - part) * value + part * getattr(other, key)[name] for name, value in getattr(one, key).items()}
        for key in ("mean", "variance", "spectra")
    }
    return replace(one, **mixed)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two recipes with three seeds each: the document, the plan and the truths. The later one is nearer to the truth."""
    folder = tmp_path_factory.mktemp("online")
    campaign = runs.Campaign(folder / "out", REPO / "build" / "single" / "gyre.exe")
    designs = [online_plan.design(runs.NAMELISTS / name) for name in ("gyre_online_start", "gyre_rollout")]
    plan = online_plan.Plan(campaign, designs, folder / "trained", years=20)
    truths = {wind: truth.load(wind, STATISTICS) for wind in matrix.WINDS}
    for wind, one in truths.items():
        spun = campaign.folder / wind / "spinup_48_1" / "GYRE_00097200_restart.nc"
        spun.parent.mkdir(parents=True)
        spun.touch()
        far = Climate.load(STATISTICS / f"climate_{wind}_20_km.npz")
        for number, design in enumerate(designs):
            for seed in (1, 2, 3):
                if wind == "trained":
                    trained(plan.trainings, design, seed, 0.9 + 0.01 * seed)
                ((row, _),) = plan.rows(plan.of(design)[seed - 1])
                day = LOST[3] if (design.name, seed, wind) == LOST[:3] else None
                part = (0.9, 0.2)[number] + 0.02 * seed
                ran(campaign, replace(row, wind=wind), between(one.joint, far, part), day)
    document = online_report.make(plan, {}, STATISTICS, CONVENTIONAL, "online", "command", False, True, QUIET)
    return document, plan, truths


def test_every_seed_is_in_the_table(made):
    """Under both winds, in Markdown, CSV and JSON; the blow-up with its day."""
    _, plan, _ = made
    page = (plan.campaign.folder / "online.md").read_text()
    rows = (plan.campaign.folder / "online.csv").read_text().splitlines()
    for name in ("gyre_online_start", "gyre_rollout"):
        for seed in (1, 2, 3):
            assert page.count(f"| {name}_s{seed} every 3 |") == 2
            assert sum(f",{name}_s{seed} every 3," in line for line in rows) == 2
    assert page.count("blew up on day 77") == 1 and "2 of 3" in page
    assert sum(",blew up,77," in line for line in rows) == 1
    kept = json.loads((plan.campaign.folder / "online.json").read_text())
    assert [len(found["rows"]) for found in kept["winds"].values()] == [6, 6]
    assert not any(path in json.dumps(kept) for path in (str(plan.campaign.folder), "/usr/bin", str(REPO)))
    assert (plan.campaign.folder / "online.png").stat().st_size < online_report.LARGEST


BROKEN = {
    "left out": ("no run", lambda rows: rows.pop(4)),
    "twice": (": twice", lambda rows: rows.append(rows[0])),
    "another wind": ("under the wind 'unseen'", lambda rows: rows[1].update(wind="unseen")),
    "another network": ("another network", lambda rows: rows[1]["artefact"].update(sha256="0")),
    "shorter": ("a run of 5 years", lambda rows: rows[2].update(years=5)),
    "without its day": ("without the day", lambda rows: rows[2].update(scores=None)),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_table_with_a_hole_is_refused(made, name):
    message, spoil = BROKEN[name]
    document = copy.deepcopy(made[0])
    online_judge.complete(document)
    spoil(document["winds"]["trained"]["rows"])
    with pytest.raises(HaloclineError, match=message):
        online_judge.complete(document)


def test_a_run_of_the_other_wind_is_caught(made):
    """The rows of one wind where those of the other belong: they say it themselves, and are the same runs twice."""
    document = copy.deepcopy(made[0])
    rows = copy.deepcopy(document["winds"]["unseen"]["rows"])
    document["winds"]["trained"]["rows"] = [{**row, "wind": "trained"} for row in rows]
    with pytest.raises(HaloclineError, match="the same run as"):
        online_judge.complete(document)


def test_nearer_to_the_truth_is_more_similar(made):
    """The truth is 1, the best conventional closure 0; each seed of the nearer recipe beats its own start."""
    document, _, truths = made
    one, best = truths["trained"], document["winds"]["trained"]["best"]["scores"]
    assert online_judge.similarity(one.values, best, one)["mean"] == pytest.approx(1)
    assert online_judge.similarity(best, best, one)["mean"] == pytest.approx(0)
    groups = document["winds"]["trained"]["designs"]
    assert groups["gyre_rollout"]["similarity"]["low"] > groups["gyre_online_start"]["similarity"]["high"]
    words = {wind: [one["word"] for one in found["against_start"]] for wind, found in document["winds"].items()}
    assert words == {"trained": ["better"] * 3, "unseen": ["better", "worse", "better"]}  # the second one blew up there


def test_the_cost_holds_that_of_the_start(made):
    document, _, _ = made
    found = {one["training"]: one for one in document["trainings"]}
    assert found["gyre_online_start_s2"]["core_minutes"] == 2.0
    assert found["gyre_rollout_s2"]["core_minutes"] == 4.0 and found["gyre_rollout_s2"]["own_core_minutes"] == 2.0


def test_what_is_missing_is_told_or_an_error(made, tmp_path):
    """Not trained, not ended, another recipe; --all-or-nothing runs nothing then."""
    _, plan, _ = made
    away = replace(plan, trainings=tmp_path, seeds=3)
    start = plan.designs[0]
    for seed in (2, 3):
        trained(tmp_path, start, seed, 0.9)
    (tmp_path / f"{start.name}_s2" / "scores.json").unlink()
    namelist = tmp_path / f"{start.name}_s3" / "namelist_cfg"
    namelist.write_text(namelist.read_text().replace("nn_epochs   = 40", "nn_epochs   = 4"))
    lacks = [training.missing for training in away.of(start)]
    assert lacks[:2] == ["not trained", "training not ended"] and "namtrain.nn_epochs 4 there, 40 now" in lacks[2]
    with pytest.raises(HaloclineError, match="6 trainings are missing"):
        online_report.make(away, {}, STATISTICS, CONVENTIONAL, "x", "command", False, True, QUIET)


def test_a_comment_or_a_thread_makes_no_other_recipe(made, tmp_path):
    _, plan, _ = made
    start = plan.designs[0]
    trained(tmp_path, start, 1, 0.9)
    namelist = tmp_path / f"{start.name}_s1" / "namelist_cfg"
    namelist.write_text("!! other words\n" + namelist.read_text().replace("nn_threads  = 1", "nn_threads  = 2"))
    assert replace(plan, trainings=tmp_path).of(start)[0].missing == ""


def test_starts_are_trained_first(made):
    (_, first), (_, second) = stages(made[1])
    assert {training.design.name for training in first} == {"gyre_online_start"}
    assert [training.start for training in second] == [f"gyre_online_start_s{seed}" for seed in (1, 2, 3)]


def test_a_card_says_how_long_and_where_it_was_worse(made):
    """The section stands in the card in place of 'not scored yet'; the rest of the card is as it was."""
    document, plan, truths = made
    card = (plan.trainings / "gyre_rollout_s2" / "README.md").read_text()
    assert "Not scored yet" not in card and card.count("## Online\n") == 1
    assert card.startswith(CARD.partition("## Online")[0]) and card.endswith("## The namelist that made it\n\ntext\n")
    assert "**1 of 2 runs blew up:**" in card and "**blew up on day 77**" in card and "finished, 21 years" in card
    assert "its own offline start gyre_online_start_s2: better in" in card
    again = online_card.fill(card, online_card.section(document, "gyre_rollout_s2", truths))
    assert again == card
    first = (plan.trainings / "gyre_online_start_s1" / "README.md").read_text()
    assert "All runs were stable" in first and "its own offline start" not in first


def test_better_and_worse_are_not_exchanged(made):
    """Nearer by more than sampling leaves is better; a quantity that is off the other way round is worse, a small step level."""
    document, _, truths = made
    one, table = truths["trained"], document["winds"]["trained"]
    expected, best = table["expected_floor"], table["best"]["scores"]
    assert set(online_judge.quantities(one.values, best, one, expected).values()) <= {"better", "level"}
    assert online_judge.quantities(one.values, best, one, expected)["eke1"] == "better"
    assert online_judge.quantities(best, one.values, one, expected)["eke1"] == "worse"
    near = {**best, "eke1": best["eke1"] + 0.5 * expected["eke1"] * one.values["eke1"]}
    assert online_judge.quantities(near, best, one, expected)["eke1"] == "level"


def test_a_frozen_table_is_whole_and_shown_in_its_page(made, tmp_path):
    document, plan, _ = made
    page = tmp_path / "science.md"
    page.write_text(f"# Words\n\n{online_report.BEGIN}\nold\n{online_report.END}\n\nmore\n")
    online_report.freeze(document, plan.campaign.folder, "online", tmp_path / "zoo", page)
    text = page.read_text()
    assert "old" not in text and text.endswith("more\n") and "| gyre_rollout_s3 every 3 |" in text
    assert (tmp_path / "science.png").is_file() and (tmp_path / "zoo" / "online.csv").is_file()
    kept = json.loads((tmp_path / "zoo" / "online.json").read_text())
    assert online_table.markdown(kept).strip() in text
    with pytest.raises(HaloclineError, match="not whole"):
        less = {**document, "missing": {"gyre_online_s1": "not trained"}}
        online_report.freeze(less, plan.campaign.folder, "online", tmp_path / "zoo", page)
    with pytest.raises(HaloclineError, match="no place"):
        online_report.shown("# Words\n", "table", page, "x.png")


def test_the_page_shows_the_frozen_table():
    """docs/pages/online_science.md and models/zoo/online are of one run of the command."""
    frozen = online_report.KEPT / "online.json"
    if not frozen.is_file():
        pytest.skip("the table has not been frozen yet")
    text = online_report.PAGE.read_text(encoding="utf-8")
    table = online_table.markdown(json.loads(frozen.read_text(encoding="utf-8")))
    assert table.strip() in text


BUSY = "import time; end = time.process_time() + 0.4\nwhile time.process_time() < end: pass"


def test_cost_counts_processes_and_starts(tmp_path):
    """CPU time of a process that was waited for and of one that lives; two starts add up; a killed start is told."""
    for _ in range(2):
        with cost.measured(tmp_path):
            subprocess.run([sys.executable, "-c", BUSY], check=True, timeout=60)
    found = cost.of_training(tmp_path, 1)
    assert found.how == "cpu" and 0.8 < 60 * found.core_minutes < 3 and found.lost == 0
    before = cost.cpu_seconds()
    with subprocess.Popen(
        [sys.executable, "-c", BUSY + "\nprint(1, flush=True); input()"], stdin=-1, stdout=-1
    ) as living:
        living.stdout.read(1)
        assert cost.cpu_seconds() - before > 0.4
        living.kill()
    document = json.loads((tmp_path / cost.FILE).read_text())
    (tmp_path / cost.FILE).write_text(json.dumps({**document, "running": True}))
    with pytest.raises(ValueError, match="stop"), cost.measured(tmp_path):
        raise ValueError("stop")
    assert cost.of_training(tmp_path, 1).lost == 1
    assert json.loads((tmp_path / cost.FILE).read_text())["starts"] == 3


def test_cost_without_a_measure_is_marked(tmp_path):
    """Wall-clock time of epochs times threads; of the windows from each start of the ocean; nothing where nothing is known."""
    assert cost.of_training(tmp_path, 1).how == "" and np.isnan(cost.of_training(tmp_path, 1).core_minutes)
    lines = [("start", 0), ("window", 30), ("start", 500), ("window", 590)]
    text = "".join(
        json.dumps({"event": event, "time": f"2026-01-01T00:{at // 60:02d}:{at % 60:02d}+00:00"}) + "\n"
        for event, at in lines
    )
    (tmp_path / cost.ROLLOUT).write_text(text + '{"event": "win')
    assert cost.of_training(tmp_path, 1) == cost.Cost(2.0, "wall")
    (tmp_path / cost.HISTORY).write_text("epoch,seconds\n1,30.0\n2,60.0\n")
    assert cost.of_training(tmp_path, 2) == cost.Cost(3.0, "wall")

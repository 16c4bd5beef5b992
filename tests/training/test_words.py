"""What a training of increments says: where a mistake stands and what mends it, what is warned of, what the contract keeps."""

import io
import json

import numpy as np
import pytest
from rich.console import Console

from coupler.errors import HaloclineError
from models.data.increment import ATTRIBUTE, Increments
from models.settings import NamTrain
from models.training import increments, results
from models.training.fit import fit, read, settings
from models.training.samples import collect
from models.training.scores import Score
from tests.training import synthetic
from tests.training.test_increment_train import NAMELIST, configuration
from tests.training.test_increments import WINDOW, dataset


def refusal(folder, data, more="", **changes):
    """What is said of a namelist for increments with these changes of its text; data: a data set."""
    synthetic.write(data, folder / "data.zarr")
    cfg = configuration(folder, "cfg", more=more)
    path = cfg / "namelist_cfg"
    text = path.read_text()
    for old, new in changes.values():
        text = text.replace(old, new)
    path.write_text(text)
    with pytest.raises(HaloclineError) as error:
        fit(cfg, folder / "run", console=Console(quiet=True))
    return str(error.value)


@pytest.mark.parametrize(
    ("data", "more", "changes", "words"),
    [
        (lambda: dataset(), "nn_harmonics = 9", {}, ("nn_harmonics)", "Set fewer")),
        (
            lambda: dataset(years=3),
            "nn_harmonics = 1",
            {"years": ("nn_train = 4", "nn_train = 1")},
            ("nn_harmonics)", "there is one"),
        ),
        (lambda: dataset(years=5), "", {}, ("nn_train)", "a tenth may be missing")),
        (lambda: synthetic.dataset(), "", {}, ("cn_data)", "holds tendencies", "halocline assimilate")),
        (
            lambda: dataset(),
            "",
            {"target": ("'increment'", "'residual'"), "family": ("increment_mlp", "momentum_cnn")},
            ("cn_data)", "holds increments", "halocline coarsen"),
        ),
    ],
    ids=["too many harmonics", "one training year", "too short", "tendencies", "increments"],
)
def test_mistakes_are_told_with_their_line(tmp_path, data, more, changes, words):
    said = refusal(tmp_path, data(), more, **changes)
    assert "namelist_cfg line" in said and all(word in said for word in words), said


def test_what_is_no_mistake_is_read(tmp_path):
    """The twin: data and target that go together."""
    synthetic.write(dataset(), tmp_path / "data.zarr")
    train, _ = settings(configuration(tmp_path, "cfg"))
    assert list(read(train)) == [str(tmp_path / "data.zarr")]


@pytest.mark.parametrize(
    ("target", "made", "remedy", "not_said"),
    [
        ("increment", dataset, "halocline assimilate", "Coarsen"),
        ("residual", synthetic.dataset, "Coarsen it again", "assimilate"),
    ],
)
def test_nan_is_mended_where_it_was_made(target, made, remedy, not_said):
    data = made()
    data["v"].values[17, 1, 3, 2] = np.nan
    train, parts = synthetic.switches(cn_target=target, cn_family="increment_mlp")
    with pytest.raises(HaloclineError) as error:
        collect({"data": data}, train, parts)
    assert remedy in str(error.value) and not_said not in str(error.value) and "cn_data" in str(error.value)


def test_notes_of_an_archive_stay_in_the_data_set():
    """Method, gain and update are in the contract, lists of notes are not; without the choice, the twin, they would be."""
    data = dataset()
    info = {
        "window": WINDOW,
        "method": "archive",
        "gain": 0.5,
        "update": "flat",
        "notes": ["one", "two"],
        "calendar": "360_day",
    }
    data.attrs[ATTRIBUTE] = json.dumps(info)
    opened = {"a": Increments("made up", data, info)}
    train, parts = synthetic.switches(
        cn_target="increment", cn_family="increment_mlp", nn_train=4, nn_val=1, nn_test=1, rn_gap=20.0
    )
    _, seasons = increments.anomalies(collect({"a": data}, train, parts), opened, train)
    assert seasons.facts["increments"] == "method archive, gain 0.5, update flat"
    assert "['one', 'two']" in ", ".join(f"{key} {value}" for key, value in info.items())


def test_noise_that_is_taken_back_more_than_once_is_warned_of():
    """A restoring time below the window; not one of a window, none, or without noise."""
    said = results.restore_warnings(NamTrain(rn_noise=0.1, rn_restore=3600.0), WINDOW)
    assert len(said) == 1 and "rn_restore = 3600 s" in said[0] and "120 times" in said[0] and "-0.88" in said[0]
    for noise, restore in ((0.1, WINDOW), (0.1, 0.0), (0.0, 3600.0)):
        assert results.restore_warnings(NamTrain(rn_noise=noise, rn_restore=restore), WINDOW) == []
    stretched = results.restore_warnings(NamTrain(rn_noise=0.0, rn_amplify=0.2, rn_amplify_restore=86400.0), WINDOW)
    assert len(stretched) == 1 and "rn_amplify_restore" in stretched[0]


def test_an_output_that_is_damped_to_nothing_is_warned_of(tmp_path):
    """Which and why; the twin of positive skill is silent. Noise restored 120 times in a window brings it about."""
    synthetic.write(dataset(), tmp_path / "data.zarr")
    said = {}
    for name, more in (
        ("lost", "rn_restore = 3600., rn_noise = 0.5"),
        ("good", "rn_restore = 4320000., rn_noise = 0.02"),
    ):
        text = NAMELIST.replace("rn_restore = 4320000.,", "").replace(", rn_noise = 0.02", "")
        cfg = configuration(tmp_path, name)
        more = f"ln_damp = .true., {more}"
        values = {
            "data": tmp_path / "data.zarr",
            "family": "increment_mlp",
            "epochs": 12,
            "more": more,
            "formats": "''",
        }
        (cfg / "namelist_cfg").write_text(text.format(**values))
        console = Console(record=True, width=200, file=io.StringIO())
        run = fit(cfg, tmp_path / f"run_{name}", console=console)
        said[name], card = console.export_text(), (run / "README.md").read_text()
        assert "is damped by its R2" in card
    assert "damped to 0" in said["lost"] and "dh_bias1 -" in said["lost"] and "(&namtrain, ln_damp)" in said["lost"]
    assert "damped to 0" not in said["good"]
    assert "rn_restore = 3600 s is shorter" in said["lost"] and "shorter than" not in said["good"]


def test_factors_of_damping_lie_between_0_and_1():
    """Also of an output without increments in the validation part, which has no R2."""
    found = results.damping([Score("dt_bias", r2, 0.0, 0.0, 0.0, 0.0) for r2 in (float("nan"), -3.0, 0.4, 1.5)])
    assert found == [0.0, 0.0, 0.4, 1.0]


def test_the_card_is_of_the_seed_that_was_trained(tmp_path):
    """Files with their hashes, units, what is read; --seed is told, without it not."""
    synthetic.write(dataset(), tmp_path / "data.zarr")
    cfg = configuration(
        tmp_path, "cfg", family="increment_mean", formats="'onnx'", more="cn_conserve = 'h', nn_harmonics = 1"
    )
    cards = [
        (fit(cfg, tmp_path / f"run_{seed}", console=Console(quiet=True), seed=seed) / "README.md").read_text()
        for seed in (None, 7)
    ]
    assert "`--seed 7`" in cards[1] and "--seed" not in cards[0]
    for words in (
        "dh_bias1 [m]",
        "du_bias2 [m s-1]",
        "dt_bias [degC] per window",
        "mig (global column)",
        "day_of_year",
        "`dh_bias`",
    ):
        assert words in cards[0], words
    assert "less its climatology" in cards[0] and "cn_sha256" in cards[0]

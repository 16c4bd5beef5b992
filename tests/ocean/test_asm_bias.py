"""Tendencies of a bias correction from the coupler: layouts and transports, volume, temperature, trends."""

import numpy as np
import pytest
import xarray as xr

from tests.consistency.conftest import coupled_run  # noqa: F401
from tests.consistency.networks import field, network
from tests.ocean.conftest import same_bits
from tests.ocean.test_asm_inc import ALL, noise, write

STEP = 2400.0
FIELDS = {
    "u": ("U", "m s-1", {"vector_pair": "v", "levels": 2}),
    "v": ("V", "m s-1", {"vector_pair": "u", "levels": 2}),
    "h": ("T", "m", {"levels": 2}),
    "t": ("T", "degC", {"levels": 1}),
}
RATES = {"u": 1e-6, "v": 1e-6, "h": 1e-7, "t": 1e-6}  # times the Laplacian of the state in cells [s-1]
TRENDS = {"namtrd": {"ln_trd": True, "nn_trd": 1, "ln_trd_r8": True}}
STILL = {"namsbc": {"cn_wind": "none", "rn_trelax": 0.0}, "namusr_def": {"rn_pert": 0.0}, "namtra": {"rn_aht": 0.0}}


def bias_name(pair):
    return {"vector_pair": f"d{pair}_bias"} if pair else {}


def mover(names):
    """A network that smooths the fields in `names`: its tendencies are far from zero and need a halo."""
    inputs = [field(n, point, units, **more) for n, (point, units, more) in FIELDS.items()]
    outputs = [
        field(f"d{n}_bias", FIELDS[n][0], f"{FIELDS[n][1]} s-1".replace("s-1 s-1", "s-2"), levels=FIELDS[n][2]["levels"],
              **bias_name(FIELDS[n][2].get("vector_pair")))
        for n in names
    ]  # fmt: skip
    body = [
        f"rates = { {n: RATES[n] for n in names} }",
        'return {f"d{n}_bias": r * laplacian(inputs[n]) for n, r in rates.items()}',
    ]
    return network("mover", inputs, outputs, body)


SOURCE = network(  # 1e-5 m s-1 of layer 1, 2e-5 of layer 2
    "source",
    [field("h", "T", "m", levels=2)],
    [field("dh_bias", "T", "m s-1", levels=2)],
    ['return {"dh_bias": np.array([1e-5, 2e-5])[:, None, None] + 0 * inner(inputs["h"])}'],
)


def bias(names="uvht", period=3 * STEP, inputs="uvht", transport="mpi", active=True):
    """One network, called every `period`, whose tendencies are held between; `names` are the fields that are corrected."""
    coupled = {"nn_wire": 64, "rn_timeout": 30.0, "cn_python_allow": "bias.py", "cn_transport": transport}
    return {
        "namcpl": coupled | {"ln_active": active},
        "namexc": [
            {"cn_name": "state", "cn_dir": "to_coupler", "cn_fields": list(inputs), "rn_period": period},
            {"cn_name": "bias", "cn_dir": "to_ocean", "cn_fields": [f"d{n}_bias" for n in names], "rn_period": period},
        ],
        "namnet": {"cn_name": "bias", "cn_artefact": "bias.py", "cn_engine": "python"},
        "namdiag": {"rn_diag": 0.0},
    }


@pytest.fixture
def biased(coupled_run, tmp_path):  # noqa: F811
    """biased(network, *changes, steps, ...): a coupled run from rest with this network, or with coupler=0 the ocean alone."""

    def run(source, *changes, steps=12, more=(), **layout):
        (tmp_path / "bias.py").write_text(source)
        start = {"namrun": {"nn_itend": steps, "ln_cpl": layout.get("coupler", 1) > 0}}
        return coupled_run(start, *changes, link=(tmp_path / "bias.py", *more), **layout)

    return run


@pytest.fixture(scope="module")
def whole(coupled_run, tmp_path_factory):  # noqa: F811
    """All four tendencies on one rank: the state after 12 steps."""
    file = tmp_path_factory.mktemp("whole") / "bias.py"
    file.write_text(mover("uvht"))
    return coupled_run({"namrun": {"nn_itend": 12, "ln_cpl": True}}, bias(), link=(file,)).restart(12)


@pytest.mark.parametrize(
    "variants",
    [("double", "check", "double"), pytest.param(("check", "double", "check"), marks=pytest.mark.slow)],
    ids=["sample", "rest"],
)
def test_a_bias_correction_has_the_same_bits_on_any_ranks(biased, whole, variants):
    """All four tendencies, held for three steps, on 1, 2 x 1, 1 x 3 and 2 x 2 ranks of the ocean."""
    for (ranks, jpni), variant in zip(((2, 2), (3, 1), (4, 2)), variants, strict=True):
        layout = {"nammpp": {"jpni": jpni}}
        same_bits(whole, biased(mover("uvht"), bias(), layout, ocean=ranks, variant=variant).restart(12))


def test_bias_correction_and_increments_are_summed(biased, whole, tmp_path):
    """Both in one run, on any ranks; a run that lacks one of them has other bits."""
    write(tmp_path, noise(), 0, 2)
    file = tmp_path / "assim_background_increments.nc"
    update = {"nam_asminc": ALL | {"ln_asmiau": True, "niaufn": 1, "nitiaustr": 3, "nitiaufin": 8}}
    both = biased(mover("uvht"), bias(), update, more=[file])
    four = biased(mover("uvht"), bias(), update, more=[file], ocean=4)
    same_bits(both.restart(12), four.restart(12))
    for lacking in (whole, biased(mover("uvht"), update, more=[file], coupler=0).restart(12)):
        with pytest.raises(AssertionError, match="differs"):
            same_bits(both.restart(12), lacking)


def test_each_tendency_is_part_of_what_is_compared(biased, whole):
    """The broken twins: a run that lacks one tendency has other bits."""
    for names in ("uvh", "uvt", "ht"):
        with pytest.raises(AssertionError, match="differs"):
            same_bits(whole, biased(mover(names), bias(names)).restart(12))


def test_a_bias_correction_over_oasis_has_the_same_bits(biased):
    mpi, oasis = (biased(mover("uvht"), bias(transport=name), ocean=2) for name in ("mpi", "oasis"))
    same_bits(mpi.restart(12), oasis.restart(12))


def test_an_inactive_bias_correction_changes_nothing(biased, whole):
    """ln_active = .false. computes and adds nothing: the bits of the ocean alone; an active one has others."""
    alone = biased(mover("uvht"), coupler=0).restart(12)
    same_bits(alone, biased(mover("uvht"), bias(active=False)).restart(12))
    with pytest.raises(AssertionError, match="differs"):
        same_bits(alone, whole)


def volume(state: xr.Dataset) -> np.ndarray:
    """Mean thickness of the wet cells, layer by layer [m]."""
    return state["e3t_n"].values[:, 1:-1, 1:-1].mean(axis=(1, 2))


def test_a_source_of_thickness_changes_the_volume_by_itself(biased):
    """In a moving ocean the volume grows by the area sum of dh, and by nothing else."""
    started, ended = (biased(SOURCE, coupler=0, steps=n).restart(n) for n in (1, 24))
    np.testing.assert_allclose(volume(started), volume(ended), rtol=1e-13)
    grown = biased(SOURCE, bias("h", inputs="h"), steps=24, ocean=2).restart(24)
    np.testing.assert_allclose(volume(grown) - volume(started), 24 * STEP * np.array([1e-5, 2e-5]), rtol=1e-9)
    assert np.abs(grown["un"].values).max() > 1e-3


def test_a_source_of_thickness_leaves_temperature_alone(biased):
    """The source brings the water that is there: T of a still ocean, and uniform T of a moving one, stay what they are."""
    rest = biased(SOURCE, STILL, coupler=0, steps=24).restart(24)["tn"].values
    state = biased(SOURCE, STILL, bias("h", inputs="h"), steps=24).restart(24)
    np.testing.assert_allclose(state["tn"].values, rest, rtol=1e-14)
    diluted = rest * 500.0 / (500.0 + 24 * STEP * 1e-5)  # the broken twin: a source without its heat
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(diluted, rest, rtol=1e-14)
    uniform = {"namsbc": {"rn_tstar_s": 20.0, "rn_tstar_n": 20.0}}
    moving = biased(mover("uvh"), uniform, bias("uvh"), steps=24).restart(24)
    assert np.abs(moving["un"].values).max() > 1e-3
    np.testing.assert_allclose(moving["tn"].values[1:-1, 1:-1], 20.0, rtol=1e-13)


def test_the_trends_add_up(biased):
    """The term asm is what the network made, and all terms are the total."""
    trends = biased(mover("uvht"), bias(), TRENDS).open("TEST_00000001_00000012_trd.nc")
    for var, terms in {"u": "hpg keg pvo ldf wnd drg zb20 asm cpl", "t": "adv ldf res asm cpl"}.items():
        parts = [trends[f"{var}trd_{term}"].values[3:] for term in terms.split()]
        total = trends[f"{var}trd_tot"].values[3:]
        assert np.nanmax(np.abs(trends[f"{var}trd_asm"].values[3:])) > 0
        np.testing.assert_allclose(sum(parts), total, atol=1e-12 * np.nanmax(np.abs(total)))
        with pytest.raises(AssertionError):
            np.testing.assert_allclose(sum(parts) - parts[terms.split().index("asm")], total, atol=1e-12)

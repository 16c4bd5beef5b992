"""Networks that feed networks: the same bits in every layout, and the numbers of one network that does both."""

import numpy as np
import pytest

from tests.consistency import networks as nets
from tests.consistency.conftest import SPINUP, same_bits

FILTER = {"cn_name": "filter"}
FRICTION = {"cn_name": "friction", "cn_inputs": ["uf=filter.uf", "vf=filter.vf"]}
BOTH = {"cn_name": "both"}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return nets.write(tmp_path_factory.mktemp("nets"), filter=nets.FILTER, friction=nets.FRICTION, both=nets.BOTH)


def chained(*more, **options):
    """Friction stands first: the order comes from the fields, not from the namelist."""
    return nets.groups({**FRICTION, **options}, FILTER, *more)


@pytest.mark.parametrize("boundary", ["closed", "fold_F"])
def test_a_chain_has_the_same_bits_in_every_layout(zb20_run, files, boundary):
    one, other = (
        zb20_run(chained(), boundary=boundary, link=files, ocean=a, coupler=b, steps=4) for a, b in [(1, 1), (3, 3)]
    )
    same_bits(one.restart(SPINUP + 4), other.restart(SPINUP + 4))
    assert "networks run in this order: filter, friction" in one.text
    assert np.abs(one.diagnostics()["du"].values).max() > 0


def test_a_chain_is_the_network_that_does_both(zb20_run, files):
    """Two cells away from land both see the same; a chain that skips the halo exchange would not."""
    whole = zb20_run(nets.groups(BOTH), link=files, steps=1).diagnostics()
    cut = zb20_run(chained(), link=files, steps=1, coupler=4).diagnostics()
    for name in ("du", "dv"):
        inside = np.s_[..., 4:-4, 4:-4]
        assert (whole[name].values[inside] == cut[name].values[inside]).all()
        assert (whole[name].values != cut[name].values).any(), "at the walls the filtered field is masked, then filled"


def test_a_circle_is_an_error(zb20_run, files):
    circle = {"cn_name": "filter", "cn_inputs": ["u=friction.du", "v=friction.dv"]}
    done = zb20_run(nets.groups(FRICTION, circle), link=files, ok=False)
    assert "in a circle: friction -> filter -> friction" in done.text or "filter -> friction -> filter" in done.text
    unknown = {**FRICTION, "cn_inputs": ["uf=filter.u_f", "vf=filter.vf"]}
    done = zb20_run(nets.groups(unknown, FILTER), link=files, ok=False)
    assert "reads 'filter.u_f', which nobody makes; 'filter' returns uf, vf" in done.text


def test_units_of_a_chain_are_compared(zb20_run, files, tmp_path):
    wrong = nets.write(
        tmp_path / "wrong",
        filter=nets.FILTER.replace("'uf', 'point': 'U', 'units': 'm s-1'", "'uf', 'point': 'U', 'units': 'cm s-1'"),
    )
    done = zb20_run(chained(), link=(files[1], *wrong), ok=False)
    assert "input 'uf' of network 'friction' is in 'm s-1', the model's field 'filter.uf' in 'cm s-1'" in done.text


def test_a_feeder_may_run_more_often_than_its_reader(zb20_run, files):
    """rn_period of a network that only feeds others must divide that of its readers."""
    base = nets.groups(FRICTION, {**FILTER, "rn_period": 2400.0}, period=4800.0)
    run = zb20_run(base, {"namrun": {"nn_it000": SPINUP + 1, "nn_itend": SPINUP + 4}}, link=files)
    assert "every 2400 s, edges" in run.text and "every 4800 s, edges" in run.text
    done = zb20_run(nets.groups(FRICTION, {**FILTER, "rn_period": 4800.0}), link=files, ok=False)
    assert "divide the periods of its readers" in done.text

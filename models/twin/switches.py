"""The switches of the ocean that the twin obeys; all others are refused when they would change the run."""

from dataclasses import dataclass

from coupler.errors import HaloclineError
from coupler.namelist import read_groups
from models.data.ocean import Switches
from models.twin.values import check, layers

# (group, switch): the value with which the ocean does what the twin does.
LACKING = {
    ("namzb20", "ln_zb20_fb"): False,
    ("namrhs", "ln_rhs"): False,
    ("namtrd", "ln_trd"): False,
    ("namdia", "nn_dia_halo"): 0,
}
BOUNDARIES = ("closed", "cyclic_ew")


@dataclass(frozen=True)
class Physics:
    """Coefficients of the terms, with the ocean's names and units."""

    rn_dt: float
    rn_atfp: float
    rn_hmin: float
    ln_dynldf: bool
    rn_cs4: float
    rn_cl4: float
    rn_ahm4: float
    rn_ahmcap: float
    ln_zb20: bool
    rn_zb_kappa: float
    rn_rho0: float
    rn_season: float
    swing: float  # range of the restoring temperature [degC]
    r1_trelax: float
    rn_drg: tuple[float, ...]
    ln_tra: bool
    rn_aht: float


def physics(switches: Switches) -> Physics:
    """The terms of a namelist. HaloclineError names a switch that the twin does not have, or a value that the ocean refuses."""
    check(switches)
    refuse(switches)
    relax = float(switches["namsbc", "rn_trelax"])
    return Physics(
        **{key: float(switches["namdom", key]) for key in ("rn_dt", "rn_atfp", "rn_hmin")},
        **{key: float(switches["namdyn_ldf", key]) for key in ("rn_cs4", "rn_cl4", "rn_ahm4", "rn_ahmcap")},
        ln_dynldf=bool(switches["namdyn_ldf", "ln_dynldf"]),
        ln_zb20=bool(switches["namzb20", "ln_zb20"]),
        rn_zb_kappa=float(switches["namzb20", "rn_zb_kappa"]),
        rn_rho0=float(switches["namsbc", "rn_rho0"]),
        rn_season=float(switches["namsbc", "rn_season"]),
        swing=abs(float(switches["namsbc", "rn_tstar_s"]) - float(switches["namsbc", "rn_tstar_n"])),
        r1_trelax=1.0 / relax if relax > 0 else 0.0,
        rn_drg=tuple(layers(switches, "namdrg", "rn_drg")),
        ln_tra=bool(switches["namtra", "ln_tra"]),
        rn_aht=float(switches["namtra", "rn_aht"]),
    )


def refuse(switches: Switches) -> None:
    """HaloclineError for a switch with which the ocean would do what the twin does not."""
    boundary = switches["namusr_def", "cn_bnd"]
    if boundary not in BOUNDARIES:
        raise HaloclineError(
            f"the twin has no boundary '{boundary}'.\n  {switches.where('namusr_def', 'cn_bnd')}. "
            f"It has {' and '.join(BOUNDARIES)}; the Fortran ocean has the others."
        )
    for (group, name), value in LACKING.items():
        if switches[group, name] != value:
            raise HaloclineError(
                f"the twin does not have {name} = {switches[group, name]}.\n  {switches.where(group, name)}. "
                f"Set it to {value}, or run the Fortran ocean."
            )
    for part in read_groups(switches.path):
        on = part.name == "nam_asminc" and [key for key, value in part.values().items() if value is True]
        if on:
            raise HaloclineError(
                f"the twin does not assimilate: {on[0]} is on.\n  {part.where(on[0])}. "
                "Set it to .false., or run the Fortran ocean."
            )

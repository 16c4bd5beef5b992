"""What `halocline coarsen` does, for which coarse model and with which files: the plan, checked before any work."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from coupler.errors import HaloclineError
from models import settings
from models.data import ocean, parts
from models.data.residual import CoarseModel

SAME = (  # the rest of a coarse model may differ from the truth's, these would make nonsense of it
    ("namrun", "nn_leapy"), ("namrun", "nn_date0"), ("namusr_def", "nn_layers"), ("namusr_def", "rn_h"),
)  # fmt: skip
OWN = {"nn_nx", "nn_ny", "rn_dx", "rn_pert", "nn_seed", "ln_cyclic"}  # a coarse model's own
NOTED = ("namusr_def", "namsbc", "namdrg")  # where a difference goes into the target


@dataclass(frozen=True)
class Plan:
    """What is coarsened, how, for which coarse model, and where it goes."""

    group: settings.NamCoarsen
    model: CoarseModel
    truth: Path
    out: Path

    @property
    def recipe(self) -> parts.Recipe:
        """How fine states become coarse ones."""
        sigma = 0.0 if self.group.cn_filter == "none" else self.group.rn_sigma
        return parts.Recipe(
            self.group.nn_factor,
            sigma,
            self.group.ln_advective,
            self.model.switches.step,
            self.group.rn_maxmem,
        )

    def part(self, member: str, fine: Path) -> Path:
        """The part of a fine file."""
        return self.out / f"{member}.parts" / f"{fine.stem}.zarr"

    def done(self, member: str) -> Callable[[Path], bool]:
        """Whether a fine file has been coarsened."""
        return lambda fine: self.recipe.same(self.part(member, fine))

    def members(self) -> list[str]:
        """Names of the members: cn_members, or all folders of the truth. HaloclineError when there is none, or one is missing."""
        there = sorted(path.name for path in self.truth.glob("*") if (path / "namelist_cfg").exists())
        if not there:
            raise HaloclineError(
                f"no members in {self.truth.resolve()}: a member is a folder that holds namelist_cfg.\n"
                f"  {self.group.where('cn_truth')}. Run `halocline truth` first, or name its folder with --truth."
            )
        missing = [name for name in self.group.cn_members if name not in there]
        if missing:
            raise HaloclineError(
                f"{self.truth} has no member '{missing[0]}'; it has {', '.join(there)}.\n  {self.group.where('cn_members')}."
            )
        return self.group.cn_members or there

    def files(self, member: str) -> list[Path]:
        """Fine files of a member in order of time: bursts, or single states; also those that only parts are left of."""
        folder, kept = self.truth / member, self.out / f"{member}.parts"
        for kind in ("burst", "inst"):
            names = {path.stem for path in folder.glob(f"*_{kind}.nc")} | {
                path.stem for path in kept.glob(f"*_{kind}.zarr")
            }
            if names:
                return [folder / f"{name}.nc" for name in sorted(names)]
        raise HaloclineError(
            f"member '{member}' has no output yet: no *_burst.nc or *_inst.nc in {folder}. The truth is too short; "
            "let `halocline truth` go on past the spin-up."
        )

    def check_fine(self, fine: ocean.Switches, burst: float | None) -> list[str]:
        """HaloclineError when fine and coarse model do not belong together; returns remarks on what else differs.

        burst: from the middle of a burst to its ends [s], None where states are single.
        """
        coarse, factor = self.model.switches, self.group.nn_factor
        for axis, name in enumerate(("nn_nx", "nn_ny")):
            many, few = fine.size[axis], coarse.size[axis]
            if many % factor or many // factor != few:
                raise HaloclineError(
                    f"{name} = {few} of the coarse model does not fit: the truth has {many} cells, {factor} of them to one "
                    f"(nn_factor) make {many / factor:g}.\n  {coarse.where('namusr_def', name)}, {self.group.where('nn_factor')}."
                )
        widths = float(fine["namusr_def", "rn_dx"]) * factor, float(coarse["namusr_def", "rn_dx"])
        if abs(widths[0] - widths[1]) > 1e-6 * widths[0]:
            raise HaloclineError(
                f"rn_dx = {widths[1]:g} m of the coarse model does not fit: nn_factor cells of the truth span {widths[0]:g} m.\n"
                f"  {coarse.where('namusr_def', 'rn_dx')}."
            )
        for switches in (fine, coarse):
            if switches["namusr_def", "cn_bnd"] != "closed" or switches["namusr_def", "ln_cyclic"]:
                raise HaloclineError(
                    f"cn_source = 'gyre' coarsens closed basins only.\n  {switches.path}, {switches.where('namusr_def', 'cn_bnd')}."
                )
        differ = fine.differences(coarse, OWN)
        for group, name in differ:
            if (group, name) in SAME:
                raise HaloclineError(
                    f"{name} = {coarse[group, name]} of the coarse model, {fine[group, name]} of the truth: they must be equal.\n"
                    f"  {coarse.where(group, name)}, {fine.path}."
                )
        if burst is not None and self.group.ln_target and abs(burst - coarse.step) > 1e-6 * coarse.step:
            raise HaloclineError(
                f"the truth has states {burst:g} s before and after each, the coarse model steps by rn_Dt = {coarse.step:g} s: "
                f"they must be equal for the residual.\n  {coarse.where('namdom', 'rn_dt')}, rn_burst_d of &namtruth."
            )
        return [
            f"{name} of &{group} is {coarse[group, name]}, in the truth {fine[group, name]}: the target contains the difference"
            for group, name in differ
            if group in NOTED
        ]


def load(cfg: Path, truth: Path | None, out: Path | None) -> Plan:
    """The plan of CFG; truth: in place of cn_truth; out: default runs/NAME of CFG. HaloclineError for what does not fit."""
    found = settings.load(cfg, settings.NamCoarsen)
    switches = ocean.read_switches(cfg)
    if not found:
        raise HaloclineError(f"no group &namcoarsen in {switches.path}. Add one.")
    group = found[0]
    if group.cn_filter == "taper":
        raise HaloclineError(
            f"cn_filter = 'taper' is for cn_source = 'nemo'.\n  {group.where('cn_filter')}. Set 'gaussian' or 'none': they keep "
            "the thickness equation of the coarse model exact."
        )
    place = truth if truth is not None else Path(group.cn_truth) if group.cn_truth else None
    if place is None:
        raise HaloclineError(f"no truth to coarsen.\n  {group.where('cn_truth')}. Set cn_truth, or give --truth.")
    model = CoarseModel(ocean.executable("double"), switches)
    return Plan(group, model, place, out if out is not None else Path("runs") / switches.path.resolve().parent.name)

"""Every namelist switch of the coupler: one typed table per group, read from `namelist_cfg` and checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, ValidationError

from coupler.errors import HaloclineError
from coupler.namelist import Group, distance, read_groups

# Groups of NEMO whose names come within two letters of ours; they are left alone.
NEMO_NEIGHBOURS = {
    "nameki",
    "namdia",
    "namctl",
    "namnc4",
    "nammpp",
    "namsbc",
    "namdom",
    "namcfg",
    "namdiu",
    "namtrc",
    "namlbc",
    "namdta",
    "namptr",
    "namdrg",
    "nameos",
    "namflo",
    "namtop",
}


def _as_list(value: Any) -> Any:
    """A namelist entry with one value is read as a scalar."""
    return value if isinstance(value, list) else [value]


def _no_empty(value: list[str]) -> list[str]:
    """Drop the empty strings that Fortran users write for 'none'."""
    return [text for text in value if not isinstance(text, str) or text.strip()]


Names = Annotated[list[str], BeforeValidator(lambda value: _no_empty(_as_list(value)))]


class NamGroup(BaseModel):
    """A namelist group: unknown keys are errors, values never change."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, str_strip_whitespace=True, allow_inf_nan=False)
    _group: Group | None = PrivateAttr(default=None)

    def where(self, key: str | None = None) -> str:
        """Where a switch (or the group) stands, for messages."""
        if self._group is None:
            return f"default of {key or type(self).__name__}"
        return self._group.where(key)

    def line_of(self, key: str) -> int | None:
        """Line of namelist_cfg where a switch is set, None where it has its default."""
        return None if self._group is None else self._group.line_of(key)


class NamCpl(NamGroup):
    """The coupling as a whole."""

    cn_transport: Literal["mpi", "oasis"] = Field("mpi", description="how exchanges travel: 'mpi' or 'oasis'")
    cn_model: str = Field("", description="the ocean's name in the namcouple; '': the only other component")
    ln_active: bool = Field(True, description=".false.: exchange, compute and log, but apply nothing in the ocean")
    nn_wire: Literal[32, 64] = Field(64, description="bits of a number on the wire: 64 or 32")
    nn_threads: int = Field(1, ge=1, description="threads of the engine per coupler rank")
    rn_timeout: float = Field(60.0, gt=0, description="longest wait for the other side, or for a network [s]")
    rn_timeout_start: float = Field(120.0, gt=0, description="longest wait in the start-up [s]")
    rn_walltime: float = Field(
        0.0,
        ge=0,
        description="wall-clock limit, from the start of the coupler: before it both sides write restarts and end; 0: none [s]",
    )
    cn_rst_in: str = Field("", description="restart of the coupler to begin from; '': begin anew")
    nn_seed: int = Field(0, ge=0, lt=2**32, description="seed of the noise of stochastic networks")
    nn_member: int = Field(0, ge=0, lt=2**32, description="member of an ensemble: another noise with the same seed")
    ln_record: bool = Field(False, description=".true.: write every exchange to cn_record, for `halocline replay`")
    cn_record: str = Field("halocline_record.nc", description="name of the recording")
    rn_record: float = Field(
        0.0, ge=0, description="length of a recording, the next one then begins: NAME_00000001.nc, ...; 0: one [s]"
    )
    cn_exe: str = Field("", description="ocean executable that `halocline run` starts; '': the reference ocean")
    cn_python_allow: Names = Field([], description="Python files that may run as networks (engine 'python')")
    nn_nx: int = Field(0, ge=0, description="global size along i, checked against the ocean; 0: take the ocean's")
    nn_ny: int = Field(0, ge=0, description="global size along j, checked against the ocean; 0: take the ocean's")
    nn_nz: int = Field(0, ge=0, description="levels of the 3-D fields, checked against the ocean; 0: take the ocean's")
    rn_Dt: float = Field(0.0, ge=0, description="time step, checked against the ocean; 0: take the ocean's [s]")
    nn_steps: int = Field(0, ge=0, description="steps of the run, checked against the ocean; 0: take the ocean's")
    cn_boundary: str = Field("", description="edges of the grid, checked against the ocean; '': take the ocean's")


class NamExc(NamGroup):
    """One exchange: fields that travel together (repeat the group for each)."""

    cn_name: str = Field(min_length=1, description="name of the exchange, used in messages")
    cn_dir: Literal["to_coupler", "to_ocean"] = Field(description="'to_coupler' or 'to_ocean'")
    cn_fields: Names = Field(min_length=1, description="names of the fields as the ocean declares them")
    rn_period: float = Field(0.0, ge=0, description="coupling period, a multiple of the time step; 0: every step [s]")
    ln_static: bool = Field(False, description=".true.: sent once, before the first step (masks, metrics)")
    nn_lag: Literal[0, 1] = Field(
        0, description="periods between a state and the use of its answer; 1: overlap with the ocean"
    )
    cn_first: Literal["zero", "wait", "restart"] = Field(
        "zero", description="with nn_lag = 1, the first answer: 'zero', 'wait' (for the network, once), or 'restart'"
    )
    nn_halo: int = Field(-1, ge=-1, description="cells around each subdomain; -1: the largest radius of the networks")


class NamNet(NamGroup):
    """One network (repeat the group for each)."""

    cn_name: str = Field(min_length=1, description="name of the network, used in messages")
    cn_artefact: str = Field(
        "", description="file of the network: beside the namelist, in the current folder, or shipped"
    )
    cn_engine: Literal["auto", "onnx", "exported", "torchscript", "python", "null"] = Field(
        "auto",
        description="what runs it: 'auto' (by suffix), 'onnx', 'exported', 'torchscript', 'python', 'null' (zeros)",
    )
    cn_sha256: str = Field("", description="hash that the file must have; '': a warning prints the line to paste")
    ln_trust: bool = Field(False, description=".true.: load a torch file (.pt2, .pt) whose hash is not pinned")
    cn_device: str = Field(
        "cpu",
        description="'cpu', 'cuda', 'cuda:N', 'tensorrt' (ONNX), or 'auto' (whatever is there); never changed silently",
    )
    cn_precision: Literal["", "tf32", "bf16", "fp16"] = Field(
        "", description="arithmetic of a float32 network; '': float32. The error against it is printed at start"
    )
    rn_maxmem: float = Field(
        0.0, ge=0, description="memory for a call of the network, kept by tiling; 0: one call [MB]"
    )
    cn_inputs: Names = Field([], description="'input=field' where names differ; 'input=network.output' chains networks")
    cn_outputs: Names = Field(
        [], description="'output=field' where they differ; for 'null' the fields to fill with zero"
    )
    rn_period: float = Field(
        0.0, ge=0, description="period of a network that only feeds others; 0: that of its readers [s]"
    )
    cn_role: Literal["active", "standby", "shadow"] = Field(
        "active",
        description="'active', 'standby' (runs when another falls back on it), 'shadow' (runs beside, is compared)",
    )
    ln_swap: bool = Field(False, description=".true.: take a new artefact during the run, named in NETWORK.swap")
    rn_scale: float = Field(1.0, description="factor on every output")
    rn_ramp: float = Field(0.0, ge=0, description="the factor grows from 0 over this time from step 1 [days]")
    rn_lat_min: float = Field(
        -90.0, description="outputs are zero south of it; needs the static fields gphit, gphiu, ..."
    )
    rn_lat_max: float = Field(90.0, description="outputs are zero north of it")
    nn_lev_min: int = Field(1, ge=1, description="outputs are zero above this level")
    nn_lev_max: int = Field(0, ge=0, description="outputs are zero below this level; 0: the last")
    cn_policy: Literal["stop", "clip", "zero", "hold", "fallback"] = Field(
        "stop", description="what a guard does: 'stop', 'clip', 'zero', 'hold' (the last good value), 'fallback'"
    )
    cn_fallback: str = Field(
        "", description="with 'fallback': a network of cn_role 'standby'; '': the ocean, by cn_flags"
    )
    cn_flags: Names = Field(
        [], description="'output=field': a field of the ocean that is 1 where its own closure must take over"
    )
    rn_clip: float = Field(0.0, ge=0, description="largest |output|, in its units; 0: the bounds of the contract")
    rn_rate: float = Field(
        0.0, ge=0, description="largest change of an output [its units per second]; 0: the contract's"
    )
    rn_novelty: float = Field(
        1.0,
        ge=0,
        le=1,
        description="share of inputs outside the trained percentiles from which the policy acts; 1: never; not with 'clip'",
    )
    nn_guard_stop: int = Field(
        0, ge=0, description="interventions in this run, over all ranks, that stop it; 0: any number"
    )
    cn_weights: Names = Field(
        [], description="'output=e1u*e2u*h': fields whose product weights the domain sum of an output that is removed"
    )
    cn_energy: Names = Field(
        [], description="'output=u': a field whose product with the output is its energy input (shadow)"
    )
    rn_noise: float = Field(1.0, ge=0, description="factor on the noise of a stochastic network; 0: its mean")
    cn_noise: Literal["", "white", "ar1", "hold"] = Field(
        "", description="noise in time: 'white', 'ar1', 'hold'; '': as the contract says"
    )
    rn_noise_time: float = Field(0.0, ge=0, description="e-folding time ('ar1') or length ('hold') of the noise [s]")
    cn_noise_levels: Literal["", "shared", "independent"] = Field(
        "", description="noise of levels: 'shared', 'independent'; '': as the contract says"
    )


class NamDiag(NamGroup):
    """What the coupler writes and shows."""

    rn_diag: float = Field(0.0, ge=0, description="period of the records in the diagnostics file; 0: no file [s]")
    cn_diag: Names = Field([], description="fields to write; '': all that go to the ocean")
    cn_diag_file: str = Field("halocline_diag.nc", description="name of the diagnostics file")
    ln_diag_guard: bool = Field(False, description=".true.: write how often the guards changed each cell, guard_FIELD")
    ln_diag_mean: bool = Field(False, description=".true.: their means over rn_diag too, in NAME_mean.nc")
    cn_budget: Literal["auto", "on", "off"] = Field(
        "auto",
        description="energy, enstrophy and content input of networks: 'auto' (where fields suffice), 'on' (or stop), 'off'",
    )
    rn_budget: float = Field(0.0, ge=0, description="period of the records in halocline_energy.csv; 0: a day [s]")
    ln_budget_map: bool = Field(False, description=".true.: maps of the mean energy input, in NAME_mean.nc")
    cn_budget_fields: Names = Field(
        [], description="'u=field', 'v=field', 'h=field' for the budgets; '': found by units, point and name"
    )
    rn_rho0: float = Field(1026.0, gt=0, description="density in the energy input [kg m-3]")


class NamLog(NamGroup):
    """What a run says of itself while it goes."""

    cn_verbosity: Literal["quiet", "normal", "debug"] = Field(
        "normal", description="'quiet': warnings and errors; 'normal': also start and progress; 'debug': also phases"
    )
    rn_log: float = Field(10.0, ge=0, description="wall-clock time between two lines of progress; 0: none [s]")
    nn_log_rank: int = Field(
        0, ge=-1, description="coupler rank that has a log too, beside rank 0; 0: none, -1: every rank"
    )
    ln_trace: bool = Field(False, description=".true.: write halocline.trace.json, for ui.perfetto.dev")


@dataclass(frozen=True)
class Settings:
    """All groups of one namelist_cfg."""

    path: Path
    namcpl: NamCpl
    namexc: list[NamExc]
    namnet: list[NamNet]
    namdiag: NamDiag
    namlog: NamLog = dataclass_field(default_factory=NamLog)


GROUPS: dict[str, type[NamGroup]] = {
    "namcpl": NamCpl,
    "namexc": NamExc,
    "namnet": NamNet,
    "namdiag": NamDiag,
    "namlog": NamLog,
}


def config_file(cfg: Path) -> Path:
    """The namelist file of CFG: the file itself, or namelist_cfg in the folder."""
    return cfg / "namelist_cfg" if cfg.is_dir() else cfg


def load(cfg: Path) -> Settings:
    """Settings of CFG (a folder that holds namelist_cfg, or the file).

    Raises HaloclineError that lists every unknown key, wrong value and misspelt group with its line.
    """
    path = config_file(cfg)
    problems: list[str] = []
    found: dict[str, list[NamGroup]] = {name: [] for name in GROUPS}
    for group in read_groups(path):
        if group.name in GROUPS:
            values = read_group(group, GROUPS[group.name], problems)
            if values is not None:
                found[group.name].append(values)
        elif group.name not in NEMO_NEIGHBOURS:
            near = [name for name in GROUPS if distance(group.name, name) <= 2]
            if near:
                problems.append(f"unknown group &{group.name}, did you mean &{near[0]}?\n  {group.where()}.")
    for single in ("namcpl", "namdiag", "namlog"):
        if len(found[single]) > 1:
            problems.append(f"group &{single} stands twice.\n  {found[single][1].where()}. Keep one.")
    if not problems:
        _check_names(found, problems)
    if problems:
        raise HaloclineError("\n".join(problems))
    everything = [group for groups in found.values() for group in groups]
    return Settings(
        path=path,
        namcpl=next((group for group in everything if isinstance(group, NamCpl)), NamCpl()),
        namexc=[group for group in everything if isinstance(group, NamExc)],
        namnet=[group for group in everything if isinstance(group, NamNet)],
        namdiag=next((group for group in everything if isinstance(group, NamDiag)), NamDiag()),
        namlog=next((group for group in everything if isinstance(group, NamLog)), NamLog()),
    )


def read_group(group: Group, model: type[NamGroup], problems: list[str]) -> NamGroup | None:
    """One group as its model; problems are added as sentences."""
    keys = {key.lower(): key for key in model.model_fields}
    try:
        values = group.values()
    except HaloclineError as error:
        problems.append(str(error))
        return None
    known = {}
    values = {key: value for key, value in values.items() if value is not None and value != []}  # null: the default
    for key, value in values.items():
        if key in keys:
            field = model.model_fields[keys[key]]
            known[keys[key]] = float(value) if field.annotation is float and type(value) is int else value
        else:
            near = min(keys, key=lambda name: distance(key, name))
            problems.append(
                f"unknown key '{key}' in &{group.name}, nearest known: '{keys[near]}'.\n  {group.where(key)}. "
                f"Allowed: {', '.join(keys.values())}."
            )
    if len(known) < len(values):
        return None
    try:
        result = model(**known)
    except ValidationError as error:
        problems.extend(_sentence(group, model, entry) for entry in error.errors())
        return None
    result._group = group
    return result


def _sentence(group: Group, model: type[NamGroup], entry: Any) -> str:
    """What, got, allowed, where for one error of pydantic."""
    key = str(entry["loc"][0])
    meaning = model.model_fields[key].description
    if entry["type"] == "missing":
        return f"key '{key}' is missing in &{group.name}: {meaning}.\n  {group.where()}. Add it."
    return (
        f"{key} = {entry['input']!r} is not allowed: {entry['msg'].lower()}.\n  {group.where(key)}. Meaning: {meaning}."
    )


def _check_names(found: dict[str, list[NamGroup]], problems: list[str]) -> None:
    """Names that must be unique: exchanges, networks, and a field in one exchange per direction."""
    for group in ("namexc", "namnet"):
        seen: set[str] = set()
        for item in found[group]:
            name = getattr(item, "cn_name", "")
            if name in seen:
                problems.append(
                    f"the name '{name}' stands in two groups &{group}.\n  {item.where('cn_name')}. Rename one."
                )
            seen.add(name)
    fields: dict[tuple[str, str], str] = {}
    for exchange in found["namexc"]:
        if not isinstance(exchange, NamExc):
            continue
        for field in exchange.cn_fields:
            first = fields.setdefault((exchange.cn_dir, field), exchange.cn_name)
            if first != exchange.cn_name or exchange.cn_fields.count(field) > 1:
                problems.append(
                    f"field '{field}' travels {exchange.cn_dir} twice (exchanges '{first}' and '{exchange.cn_name}').\n"
                    f"  {exchange.where('cn_fields')}. Keep it in one: networks with longer periods read it there."
                )
                break


def reference_text(groups: Mapping[str, type[NamGroup]] | None = None) -> str:
    """Every switch of `groups` (default: the coupler's) with default and meaning, as a namelist."""
    blocks = []
    for name, model in (groups or GROUPS).items():
        rows = [f"!{'-' * 119}", f"&{name:<12} !   {(model.__doc__ or '').splitlines()[0]}", f"!{'-' * 119}"]
        for key, field in model.model_fields.items():
            rows.append(f"   {key:<16} = {_fortran(field):<22} ! {field.description}")
        blocks.append("\n".join([*rows, "/"]))
    return "\n".join(blocks) + "\n"


def _fortran(field: Any) -> str:
    """The default of a switch as Fortran writes it; required ones get an example."""
    value = field.default
    if field.is_required():
        options = get_args(field.annotation) if get_origin(field.annotation) is Literal else ("",)
        return f"'{options[0]}'"
    if isinstance(value, bool):
        return ".true." if value else ".false."
    if isinstance(value, str):
        return f"'{value}'"
    if isinstance(value, float):
        return f"{value:g}." if value == int(value) else f"{value:g}"
    if isinstance(value, list):
        return ", ".join(f"'{item}'" if isinstance(item, str) else str(item) for item in value) or "''"
    return str(value)

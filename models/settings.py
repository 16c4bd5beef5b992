"""Every namelist switch of data, training and evaluation: one typed table per group, read from `namelist_cfg` and checked."""

from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BeforeValidator, Field

from coupler.errors import HaloclineError
from coupler.namelist import read_groups
from coupler.settings import Names, NamGroup, config_file, read_group, reference_text

G = TypeVar("G", bound=NamGroup)
Numbers = Annotated[list[int], BeforeValidator(lambda value: value if isinstance(value, list) else [value])]
Reals = Annotated[list[float], BeforeValidator(lambda value: value if isinstance(value, list) else [value])]


class NamTruth(NamGroup):
    """One run of the fine ocean (repeat the group for each member); the ocean's own groups stand in the same file."""

    cn_name: str = Field(min_length=1, description="name of the member, and of its folder")
    nn_years: int = Field(10, ge=1, description="years of output, after the spin-up")
    nn_spinup: int = Field(12, ge=0, description="years from rest that are thrown away")
    nn_seed: int = Field(1, ge=1, description="seed of the noise on the state at rest: members differ by it")
    cn_precision: Literal["single", "double"] = Field("single", description="build of the ocean: 'single' or 'double'")
    rn_every: float = Field(432000.0, gt=0, description="time between states that are written [s]")
    ln_burst: bool = Field(False, description=".true.: three states, so that tendencies can be taken (training)")
    rn_burst_d: float = Field(
        3200.0, gt=0, description="with ln_burst: from the middle state to the others, the coarse step [s]"
    )
    ln_keep: bool = Field(
        False, description="with --coarsen: .true.: keep the fine output, too; .false.: only the coarse states"
    )


class NamCoarsen(NamGroup):
    """From fine states to coarse states and targets; the ocean's groups in the same file are those of the coarse model."""

    cn_source: Literal["gyre", "nemo"] = Field(
        "gyre", description="what is read: 'gyre' (halocline truth) or 'nemo' (files)"
    )
    cn_truth: str = Field("", description="folder of the fine run: its members' folders for 'gyre', files for 'nemo'")
    cn_members: Names = Field([], description="members to coarsen; '': all that are there")
    cn_mesh: str = Field(
        "mesh_mask.nc", description="'nemo': the mesh_mask or domain_cfg file, in the folder cn_truth or a full path"
    )
    cn_files: Names = Field([], description="'nemo': file patterns; '': all .nc files of the folder")
    cn_names: Names = Field([], description="'nemo': 'name=variable' where a variable is in no name table")
    nn_factor: int = Field(4, ge=2, description="fine cells per coarse cell along i and j")
    cn_filter: Literal["gaussian", "taper", "none"] = Field("gaussian", description="filter before the box mean")
    rn_sigma: float = Field(
        20000.0, ge=0, description="standard deviation of the Gaussian [m]; gcm-filters scale for 'taper'"
    )
    ln_target: bool = Field(True, description=".true.: the residual of the coarse model (needs states in threes)")
    ln_advective: bool = Field(True, description=".true.: the advective target too, and the norm of the difference")
    rn_maxmem: float = Field(1000.0, gt=0, description="memory for a piece of the work [MB]")


class NamAssim(NamGroup):
    """A twin experiment that makes increments; the ocean's (and the coupling's) groups in the same file are those of the model."""

    cn_truth: str = Field(min_length=1, description="data set of halocline coarsen that plays the truth (zarr)")
    cn_method: Literal["insert", "cycle", "enoi"] = Field(
        "insert",
        description="'insert' the truth, 'cycle' with a gain, 'enoi': sparse, noisy observations, ensemble optimal interpolation",
    )
    rn_window: float = Field(432000.0, gt=0, description="from one analysis to the next [s]")
    nn_windows: int = Field(0, ge=0, description="windows; 0: to the end of the truth")
    nn_drop: int = Field(0, ge=0, description="first windows that are left out of the data set (spin-up of the cycle)")
    cn_fields: Names = Field(["u", "v", "h", "t"], description="fields that are changed: 'u', 'v', 'h', 't'")
    rn_gain: float = Field(1.0, gt=0, le=1, description="'cycle': part of truth minus background that is added")
    cn_update: Literal["direct", "flat", "hat"] = Field(
        "direct",
        description="'direct' insertion, or incremental update over the next window with 'flat' or 'hat' weights",
    )
    nn_track: int = Field(16, ge=0, description="'enoi': tracks of sea surface height in a window")
    rn_ssh_std: float = Field(0.02, gt=0, description="'enoi': error of sea surface height [m]")
    nn_sst: int = Field(2, ge=0, description="'enoi': temperature at every n-th cell along i and j; 0: none")
    rn_sst_std: float = Field(0.3, gt=0, description="'enoi': error of temperature [degC]")
    nn_profiles: int = Field(40, ge=0, description="'enoi': profiles of thickness in a window")
    rn_profile_std: float = Field(5.0, gt=0, description="'enoi': error of thickness [m]")
    cn_ensemble: str = Field(
        "", description="'enoi': data set or run folder whose states make the ensemble, on the ocean's grid"
    )
    nn_ensemble: int = Field(240, ge=2, description="'enoi': members")
    nn_apart: int = Field(
        4, ge=0, description="'enoi': a member is the difference of states so many records apart; 0: from the mean"
    )
    rn_inflate: float = Field(1.0, gt=0, description="'enoi': factor on the departures of the ensemble")
    rn_localise: float = Field(400000.0, gt=0, description="'enoi': distance at which a correlation is cut to zero [m]")
    nn_seed: int = Field(1, ge=0, description="seed of observation places and errors")
    ln_archive: bool = Field(
        False, description=".true.: keep background and increments of each window as NetCDF files in NEMO's form"
    )
    cn_out: str = Field("", description="the data set of increments (zarr); '': increments.zarr in the run folder")


class NamArchive(NamGroup):
    """Increments and backgrounds of a centre's archive, one file (or one per rank) for a window, to a data set."""

    cn_increments: Names = Field(
        min_length=1, description="file patterns, as 'archive/*/assim_background_increments*.nc'"
    )
    cn_background: Names = Field(
        min_length=1, description="file patterns of the backgrounds, before the increment was added"
    )
    cn_mesh: str = Field("mesh_mask.nc", description="the mesh_mask or domain_cfg file")
    cn_names: Names = Field([], description="'name=variable' where a variable is in no name table")
    cn_fields: Names = Field(["u", "v", "t"], description="fields to read: 'u', 'v', 't', 's', 'h', 'ssh'")
    nn_levels: int = Field(0, ge=0, description="levels to read from the surface; 0: all")
    rn_window: float = Field(0.0, ge=0, description="length of a window; 0: from z_inc_dateb and z_inc_datef [s]")
    cn_calendar: Literal["", "standard", "noleap", "360_day"] = Field("", description="calendar; '': as the files say")
    nn_cyclic: int = Field(-1, ge=-1, description="duplicated cyclic columns to drop; -1: found by comparing columns")
    nn_drop: int = Field(0, ge=0, description="first windows to leave out (spin-up)")
    cn_jumps: Names = Field([], description="dates 'yyyy-mm-dd' at which the observing system changed")
    rn_jump_days: float = Field(30.0, ge=0, description="windows left out after such a date [days]")
    ln_analysis_ok: bool = Field(
        False, description=".true.: take the background files even where they look like analyses"
    )
    cn_out: str = Field("increments.zarr", description="the data set (zarr)")


class NamSplit(NamGroup):
    """How a data set is cut into training, validation and test: contiguous blocks of time, with gaps."""

    rn_train: float = Field(0.8, gt=0, lt=1, description="first part of the record, for training")
    rn_val: float = Field(0.1, ge=0, lt=1, description="then, for validation")
    rn_test: float = Field(0.1, ge=0, lt=1, description="and last, for the offline test; touched once")
    nn_train: int = Field(0, ge=0, description="whole years for training, in place of rn_train; 0: by rn_train")
    nn_val: int = Field(0, ge=0, description="with nn_train: then, whole years for validation")
    nn_test: int = Field(0, ge=0, description="with nn_train: and whole years for the test")
    rn_gap: float = Field(
        0.0, ge=0, description="time left out between blocks [days]; 0: the measured decorrelation time"
    )
    cn_hold_region: Names = Field(
        [], description="regions left out of training, 'imin:imax,jmin:jmax' in cells from 1, both ends"
    )
    cn_hold_data: Names = Field([], description="data sets (regimes) left out of training, scored in the test")


class NamTrain(NamGroup):
    """One network and how it is fitted."""

    cn_name: str = Field("closure", min_length=1, description="name of the network and of its artefact")
    cn_mode: Literal["offline", "online", "rollout_nograd", "emulator", "adjoint_approx", "eki"] = Field(
        "offline",
        description="'offline': targets of single states; 'online': along trajectories of the twin (&namonline); "
        "'rollout_nograd': beside the running ocean (&namrollout); 'emulator', 'adjoint_approx': along that ocean's "
        "trajectories, with a fitted or an approximate adjoint (&namadjoint); 'eki': few coefficients, many runs (&nameki)",
    )
    cn_family: Literal[
        "momentum_cnn",
        "stress",
        "stress_ann",
        "gz21",
        "increment_cnn",
        "increment_mlp",
        "increment_mean",
        "sea_ice",
    ] = Field("momentum_cnn", description="family of networks; 'increment_mean' is the climatology alone")
    cn_data: Names = Field(
        [], description="data sets of halocline coarsen, or of assimilate or archive ('increment') (zarr)"
    )
    cn_inputs: Names = Field(["u", "v", "h"], description="fields that the network reads")
    cn_target: Literal["residual", "advective", "increment"] = Field("residual", description="which target is fitted")
    cn_outputs: Names = Field(["u", "v", "h", "t"], description="'increment': fields that are corrected")
    nn_harmonics: int = Field(
        0, ge=0, description="'increment': harmonics of the year in the climatological part; 0: its mean over time"
    )
    rn_lowpass: float = Field(
        0.0, ge=0, description="'increment': length of a running mean of the target [days]; 0: none"
    )
    ln_damp: bool = Field(
        False, description="'increment': .true.: outputs times their R2 on the validation part, between 0 and 1"
    )
    cn_conserve: Names = Field(
        [], description="'increment': 'h', 't': fields whose mean over the domain the runtime does not change"
    )
    nn_width: int = Field(32, ge=1, description="channels of the hidden layers")
    nn_kernels: Numbers = Field([5, 3, 3, 3, 3], description="kernel sizes of the convolutions, odd")
    nn_dilations: Numbers = Field([1], description="dilation of each convolution ('increment_cnn'); one number: of all")
    cn_symmetry: Literal["none", "augment", "group"] = Field(
        "none", description="rotations and reflections: 'augment' the data, or a network that has them ('group')"
    )
    ln_galilean: bool = Field(False, description=".true.: only velocity differences enter the network")
    ln_scale: bool = Field(
        False, description=".true.: dimensional scaling, so that the network holds at other resolutions"
    )
    nn_seed: int = Field(1, ge=0, description="seed of weights, shuffling and noise")
    nn_epochs: int = Field(60, ge=1, description="passes over the training part")
    nn_batch: int = Field(8, ge=1, description="samples of a step, over all ranks")
    rn_lr: float = Field(2e-3, gt=0, description="largest learning rate")
    rn_decay: float = Field(1e-4, ge=0, description="weight decay of AdamW")
    rn_clip_grad: float = Field(0.0, ge=0, description="largest norm of the gradient; 0: any")
    cn_loss: Literal["mse", "huber", "nll"] = Field(
        "mse", description="'mse', 'huber', or 'nll' (Gaussian: mean and 1/std)"
    )
    rn_spectral: float = Field(0.0, ge=0, description="weight of the log-spectrum's error in the loss")
    rn_tails: float = Field(0.0, ge=0, description="weight of a point: (1 + |target|/rms) to this power; 0: all equal")
    rn_noise: float = Field(0.2, ge=0, description="white noise on the inputs: largest amplitude, in their std")
    rn_restore: float = Field(
        86400.0, ge=0, description="time in which the target damps that noise [s]; 0: it does not"
    )
    rn_amplify: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="departures from the mean state, stretched by up to this part, shrunk by up to half of it",
    )
    rn_amplify_restore: float = Field(
        5184000.0, gt=0, description="time in which the target takes that stretching back [s]"
    )
    rn_ema: float = Field(
        0.0, ge=0, lt=1, description="decay of the averaged weights that are exported; 0: the last weights"
    )
    nn_patience: int = Field(
        0, ge=0, description="epochs without a better validation loss that end the training; 0: never"
    )
    nn_threads: int = Field(0, ge=0, description="threads of each process; 0: the machine's")
    cn_device: str = Field("cpu", description="'cpu', 'cuda', 'cuda:N'")
    cn_log: Literal["csv", "tensorboard"] = Field("csv", description="learning curves: 'csv' or 'tensorboard'")
    cn_formats: Names = Field(
        ["onnx", "pt2"], description="formats of the artefact: 'onnx', 'pt2', 'mom6' (stress_ann)"
    )
    cn_out: str = Field("", description="folder of the artefact; '': the run folder")


class NamOnline(NamGroup):
    """Training along trajectories (cn_mode = 'online'): the ocean steps on, the network in it."""

    cn_ocean: str = Field(
        "", description="configuration of the coarse ocean (folder with namelist_cfg) that the twin steps"
    )
    cn_windows: Names = Field([], description="data sets whose records the windows follow (zarr); '': those of cn_data")
    cn_start: str = Field(
        "",
        description="run folder of a training whose weights this one begins from, {seed} stands for nn_seed; '': fresh weights",
    )
    nn_every: int = Field(3, ge=1, description="steps between calls of the network; its answer is held between")
    nn_window: int = Field(135, ge=1, description="steps of the longest window")
    nn_window_min: int = Field(27, ge=1, description="steps of the first windows")
    nn_grow: int = Field(2, ge=1, description="epochs after which the window doubles, up to nn_window")
    nn_cut: int = Field(0, ge=0, description="steps after which the gradient is cut; 0: never")
    rn_state: float = Field(
        1.0, ge=0, description="weight of the states' error: 1 is the error of persistence over one record"
    )
    rn_energy: float = Field(0.0, ge=0, description="weight of (energy of a layer / true energy - 1)^2")
    rn_spectra: float = Field(0.0, ge=0, description="weight of the log-spectra's error of velocity")
    rn_start_noise: float = Field(0.0, ge=0, description="white noise on the first state, in standard deviations")
    rn_offline: float = Field(
        0.0,
        ge=0,
        description="weight of the loss of single states of cn_data, with rn_noise and rn_amplify, beside the windows",
    )
    ln_compile: bool = Field(
        False, description=".true.: the step goes through torch.compile (a minute to begin, then faster)"
    )


class NamRollout(NamGroup):
    """Training beside the running ocean (cn_mode = 'rollout_nograd'): it visits its states, the network is drawn to the truth."""

    cn_ocean: str = Field(
        "", description="configuration of the coupled ocean (folder with namelist_cfg); it reads &nam_asminc"
    )
    cn_exe: str = Field("", description="ocean executable; '': cn_exe of that configuration, or the reference ocean")
    nn_ocean_ranks: int = Field(1, ge=1, description="MPI ranks of the ocean")
    nn_coupler_ranks: int = Field(1, ge=1, description="MPI ranks of the coupler")
    cn_network: str = Field("", description="cn_name of the &namnet that is trained; '': the only one")
    cn_truth: str = Field("", description="data set that plays the truth, one of cn_data; '': the first")
    cn_restart: str = Field(
        "", description="restart that the ocean begins from; '': one of the first true state (u, v, h, t)"
    )
    cn_start: str = Field(
        "",
        description="run folder of a training whose weights this one begins from, with '{seed}' for nn_seed; '': fresh weights",
    )
    rn_window: float = Field(432000.0, gt=0, description="from one comparison with the truth to the next [s]")
    nn_windows: int = Field(720, ge=1, description="windows of the whole training")
    rn_gain: float = Field(
        1.0, gt=0, le=1, description="part of truth minus background that is put into the ocean at a window's end"
    )
    cn_fields: Names = Field(["u", "v", "h", "t"], description="fields of it: 'u', 'v', 'h', 't'")
    rn_correct: float = Field(
        1.0, ge=0, description="factor on (truth - background) / window, which is added to the network's own answer"
    )
    rn_clip: float = Field(
        3.0, ge=0, description="largest correction of a target, in rms of the offline target; 0: any"
    )
    nn_buffer: int = Field(200, ge=1, description="windows whose states are kept to learn from")
    nn_steps: int = Field(8, ge=1, description="steps of the optimiser in a window")
    rn_offline: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="part of each batch from the offline samples of cn_data, with rn_noise and rn_amplify",
    )
    nn_swap: int = Field(5, ge=1, description="windows after which new weights go to the running ocean")


class NamAdjoint(NamGroup):
    """Gradients along trajectories of the running ocean (cn_mode = 'adjoint_approx' or 'emulator'); &namrollout says which ocean.

    The nn_swap windows that one version of the network ran make one step of the optimiser.
    """

    rn_state: float = Field(
        1.0, ge=0, description="weight of the states' error: 1 is the error of persistence over one window"
    )
    rn_energy: float = Field(0.0, ge=0, description="weight of (energy of a layer / true energy - 1)^2")
    rn_spectra: float = Field(0.0, ge=0, description="weight of the log-spectra's error of velocity")
    rn_damp: float = Field(
        0.0,
        ge=0,
        description="'adjoint_approx': time in which the sensitivity to a state decays backwards [s]; 0: never (identity)",
    )
    rn_radius: float = Field(
        0.0,
        ge=0,
        description="'adjoint_approx': deformation radius; of a force only what is in balance stays in the velocity; 0: all [m]",
    )
    nn_cut: int = Field(0, ge=0, description="calls of the network over which a gradient is followed; 0: the window")
    rn_offline: float = Field(
        0.0,
        ge=0,
        description="weight of the loss of single states of cn_data, with rn_noise and rn_amplify, beside the windows",
    )


class NamEmulator(NamGroup):
    """The emulator of the ocean's step from one call of the network to the next (cn_mode = 'emulator')."""

    nn_width: int = Field(32, ge=1, description="channels of its hidden layers")
    nn_kernels: Numbers = Field([5, 3, 3, 3], description="kernel sizes of its convolutions, odd")
    nn_windows: int = Field(
        48,
        ge=4,
        multiple_of=2,
        description="windows of the ocean without closure, in couples with opposite noise; a quarter tests it",
    )
    rn_perturb: float = Field(
        0.1, gt=0, description="noise on the states that these windows begin with, in standard deviations of the truth"
    )
    nn_steps: int = Field(2000, ge=1, description="steps of its optimiser in the first fit")
    nn_batch: int = Field(16, ge=2, description="pairs of a step")
    rn_lr: float = Field(4e-3, gt=0, description="largest learning rate")
    nn_refit: int = Field(
        4, ge=0, description="steps of its optimiser on visited states, with each new version; 0: none"
    )


class NamEki(NamGroup):
    """Few coefficients fitted by ensembles of runs (cn_mode = 'eki'): ensemble Kalman inversion, no gradient, no network."""

    cn_ocean: str = Field(
        "",
        description="configuration of the coarse ocean (folder with namelist_cfg), alone or coupled; the start is set",
    )
    cn_exe: str = Field("", description="ocean executable; '': cn_exe of that configuration, or the reference ocean")
    nn_ocean_ranks: int = Field(1, ge=1, description="MPI ranks of each ocean")
    nn_coupler_ranks: int = Field(1, ge=1, description="MPI ranks of each coupler, where the configuration is coupled")
    cn_parameters: Names = Field(
        [], description="switches to fit, 'group.switch', as 'namdyn_ldf.rn_cs4'; 'namnet:NAME.rn_scale' of a network"
    )
    rn_first: Reals = Field([], description="their first values: the middle of the prior, in each switch's units")
    rn_spread: Reals = Field(
        [1.0], description="their standard deviations; with 'log' of ln(value). One number: of all"
    )
    cn_transform: Names = Field(
        ["log"], description="'log': positive, fitted as ln(value); 'none'. One word: of all switches"
    )
    cn_truth: Names = Field(
        [], description="data sets of halocline coarsen on the ocean's grid (zarr): what is matched"
    )
    cn_observed: Names = Field(
        ["eke", "spectrum", "ssh"],
        description="statistics: 'eke', 'eke_map', 'spectrum', 'ssh', 'sd_ssh', 'h', 'sst', see docs/pages/eki.md",
    )
    nn_boxes: int = Field(4, ge=1, description="maps are means over so many boxes along i and j")
    rn_error: float = Field(
        1.0,
        gt=0,
        description="factor on the observations' error: large enough that the least misfit of the runs is about 1",
    )
    nn_members: int = Field(12, ge=4, description="members of the ensemble")
    nn_iterations: int = Field(5, ge=1, description="updates; the ensemble after the last one is run, too")
    rn_days: float = Field(1080.0, gt=0, description="length of a member's run [days]")
    rn_spinup: float = Field(360.0, ge=0, description="first part of it, which is dropped [days]")
    cn_update: Literal["perturbed", "transform"] = Field(
        "transform", description="'perturbed' observations, or the deterministic 'transform' of the departures"
    )
    cn_step: Literal["misfit", "constant"] = Field(
        "misfit", description="length of a step: by the 'misfit', or 'constant': 1/nn_iterations; they sum to 1"
    )
    cn_restart: str = Field(
        "", description="restart that every member begins from; '': from true states, another one for each"
    )
    nn_jobs: int = Field(1, ge=1, description="runs side by side")
    rn_judge: float = Field(
        0.0, ge=0, description="length of a run with the fitted values that is scored [days]; 0: none"
    )
    cn_test: Names = Field([], description="data sets or climates that it is scored against; '': those of cn_truth")
    cn_conventional: str = Field(
        "", description="table of halocline science scan (conventional.json), whose best row stands beside it; '': none"
    )


class NamQg(NamGroup):
    """A second truth: two-layer quasi-geostrophic turbulence, its coarse model, and how a closure is trained in it (halocline qg).

    &namtrain gives network, seed and optimiser, &namonline windows and losses.
    """

    cn_regime: Literal["eddy", "jet"] = Field("eddy", description="regime of Ross et al. (2023): 'eddy' or 'jet'")
    rn_beta: float = Field(1.5e-11, description="meridional gradient of f; 'jet': 1e-11 unless set [m-1 s-1]")
    rn_delta: float = Field(0.25, gt=0, description="upper over lower thickness; 'jet': 0.1 unless set")
    rn_rek: float = Field(5.787e-7, ge=0, description="bottom drag; 'jet': 7e-8 unless set [s-1]")
    rn_rd: float = Field(15000.0, gt=0, description="deformation radius [m]")
    rn_u1: float = Field(0.025, description="mean zonal velocity of the upper layer [m s-1]")
    rn_u2: float = Field(0.0, description="mean zonal velocity of the lower layer [m s-1]")
    rn_length: float = Field(1.0e6, gt=0, description="side of the square [m]")
    nn_fine: int = Field(128, ge=16, description="points of the fine grid along each side, even")
    nn_coarse: int = Field(32, ge=8, description="points of the coarse grid along each side, even")
    rn_dt_fine: float = Field(10800.0, gt=0, description="step of the fine model [s]")
    rn_dt: float = Field(21600.0, gt=0, description="step of the coarse model, a multiple of rn_dt_fine [s]")
    cn_filter: Literal["spectral", "gaussian"] = Field(
        "spectral",
        description="before the cut: 'spectral', the coarse model's own filter; 'gaussian' of twice its spacing",
    )
    nn_seed: int = Field(1, ge=0, description="seed of the noise that the truth begins with; members count on from it")
    rn_spinup: float = Field(1080.0, ge=0, description="from noise, on half the fine grid; thrown away [days]")
    rn_adapt: float = Field(270.0, ge=0, description="then on the fine grid; thrown away [days]")
    rn_days: float = Field(540.0, gt=0, description="then kept, a record each coarse step, of each member [days]")
    nn_train: int = Field(3, ge=1, description="members for training")
    nn_val: int = Field(1, ge=1, description="members for validation")
    nn_test: int = Field(2, ge=2, description="members for the score; their two halves give its noise floor")
    cn_data: str = Field("", description="the data set (zarr); '': truth.zarr in the folder of the runs")
    cn_adjoint: Literal["full", "approx"] = Field(
        "full",
        description="cn_mode = 'online': 'full', the gradient passes the model's step; 'approx', the identity in its place",
    )
    nn_apart: int = Field(12, ge=1, description="records from one training sample or window to the next")
    nn_offline_epochs: int = Field(
        15, ge=1, description="epochs of the start, the fit to single states (--mode offline), in place of nn_epochs"
    )
    rn_offline_lr: float = Field(2e-3, gt=0, description="its largest learning rate, in place of rn_lr")
    nn_rollout: int = Field(50, ge=1, description="score: steps of the rollout whose error is told")
    nn_starts: int = Field(32, ge=1, description="score: rollouts, begun evenly over the test members")
    rn_climate: float = Field(540.0, gt=0, description="score: length of the free runs [days]")
    rn_drop: float = Field(90.0, ge=0, description="score: first days of them that its statistics leave out [days]")
    nn_climate: int = Field(4, ge=1, description="score: free runs side by side, begun evenly over the test members")


class NamEval(NamGroup):
    """Scores of runs against coarsened truth."""

    rn_skip: float = Field(
        360.0, ge=0, description="days dropped at the start of each run folder; data sets are used whole"
    )
    rn_sigma: float = Field(
        20000.0, ge=0, description="finer runs: standard deviation of the Gaussian before the box mean [m]"
    )
    nn_kmax: int = Field(16, ge=1, description="largest wavenumber of the spectrum's scores [cycles per basin]")
    nn_ktail: int = Field(9, ge=1, description="first wavenumber of the grid-scale tail [cycles per basin]")


GROUPS: dict[str, type[NamGroup]] = {
    "namonline": NamOnline,
    "namrollout": NamRollout,
    "namadjoint": NamAdjoint,
    "namemulator": NamEmulator,
    "nameki": NamEki,
    "namtruth": NamTruth,
    "namcoarsen": NamCoarsen,
    "namassim": NamAssim,
    "namarchive": NamArchive,
    "namsplit": NamSplit,
    "namtrain": NamTrain,
    "namqg": NamQg,
    "nameval": NamEval,
}


def load(cfg: Path, model: type[G], single: bool = True) -> list[G]:
    """The groups of CFG (a folder that holds namelist_cfg, or the file) that belong to `model`; its defaults where none is.

    HaloclineError lists every unknown key and wrong value with its line; with `single`, a second group is an error.
    """
    name = next(key for key, value in GROUPS.items() if value is model)
    problems: list[str] = []
    found = [read_group(group, model, problems) for group in read_groups(config_file(cfg)) if group.name == name]
    if problems:
        raise HaloclineError("\n".join(problems))
    groups = [group for group in found if isinstance(group, model)]
    if single and len(groups) > 1:
        raise HaloclineError(f"group &{name} stands twice.\n  {groups[1].where()}. Keep one.")
    return groups


def text() -> str:
    """The part of namelist_ref that belongs to `models`."""
    return reference_text(GROUPS)

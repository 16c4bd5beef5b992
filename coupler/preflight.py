"""What a launch refuses before anything is written: jobs that could only wait, or stop the machine."""

import os

from coupler.errors import HaloclineError
from coupler.namelist import read_groups
from coupler.settings import Settings

CROWD = 32  # ranks per core: 650 ocean ranks per core stopped a machine
HOSTS = ("SLURM_JOB_ID", "PBS_NODEFILE", "LSB_HOSTS", "PE_HOSTFILE", "OMPI_MCA_orte_default_hostfile")


def check_coupled(switches: Settings) -> None:
    """HaloclineError where the reference ocean would run alone, and the coupler wait for it in vain."""
    # As the ocean reads them: the second has the last word.
    files = (switches.path.with_name("namelist_ref"), switches.path)
    groups = [group for file in files if file.is_file() for group in read_groups(file) if group.name == "namrun"]
    wanted, where = False, f"{switches.path.name} has no &namrun"
    for group in groups:
        wanted, where = group.values().get("ln_cpl", wanted), group.where("ln_cpl")
    if not wanted:
        raise HaloclineError(
            f"the ocean would run alone: it is coupled only with ln_cpl = .true. in &namrun.\n  {where}. Set it; or run without a "
            "coupler: halocline run CFG --coupler-ranks 0."
        )


def check_crowd(ranks: int) -> None:
    """HaloclineError for more ranks than this machine can hold, where mpirun starts them all here.

    With a host file, or inside a batch job, the machine is not the measure.
    """
    elsewhere = any(name in os.environ for name in HOSTS)
    most = CROWD * len(os.sched_getaffinity(0))
    if ranks > most and not elsewhere:
        raise HaloclineError(
            f"{ranks} ranks would all start on this machine, which has {len(os.sched_getaffinity(0))} cores: at most {most} do.\n"
            "  Fewer --ocean-ranks and --coupler-ranks give the same numbers; for other machines print the command with --dry-run "
            "and give it a host file, or run inside a batch job (docs/pages/cluster.md)."
        )

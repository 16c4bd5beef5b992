"""A Slurm that is not there: `srun`, `sbatch`, `scontrol` and `apptainer` that start the same ranks here, through mpirun.

python slurm.py TOOL ARGUMENTS. Options that Slurm does not have are errors; of those that it has, sizes and programs count,
placement is left out. Each launch is appended to $FAKE_SLURM_LOG as it would be typed.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Options of srun and sbatch that scripts here may use: True where a value follows.
SRUN = {
    "ntasks": True,
    "nodes": True,
    "cpus-per-task": True,
    "het-group": True,
    "multi-prog": False,
    "kill-on-bad-exit": True,
    "cpu-bind": True,
    "mpi": True,
    "label": False,
}
SHORT = {"n": "ntasks", "N": "nodes", "c": "cpus-per-task", "l": "label"}
SBATCH = {
    "job-name",
    "nodes",
    "ntasks-per-node",
    "cpus-per-task",
    "gpus-per-node",
    "time",
    "output",
    "partition",
    "signal",
}


class SlurmError(Exception):
    """What Slurm would refuse."""


def parse_srun(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """Options and program of one part of an srun line."""
    options: dict[str, str] = {}
    while words and words[0].startswith("-"):
        word = words.pop(0)
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
        else:
            name, equals, value = SHORT.get(word[1], word), "=" if word[2:] else "", word[2:]
        if name not in SRUN:
            raise SlurmError(f"srun: unrecognized option '{word}'")
        if SRUN[name] and not equals:
            value = words.pop(0)
        options[name] = value
    if not words:
        raise SlurmError("srun: no program")
    return options, words


def ranks_of(text: str) -> list[int]:
    """Ranks of the first column of a multi-prog file: '0', '1-3', '0,4-5'."""
    ranks = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        if not (first.isdigit() and (last.isdigit() or not last)):
            raise SlurmError(f"srun: cannot read the ranks '{text}'")
        ranks += range(int(first), int(last or first) + 1)
    return ranks


def multi_prog(path: Path, ntasks: int) -> list[list[str]]:
    """The program of each rank, as the file says; every rank once."""
    programs: dict[int, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        words = shlex.split(line, comments=True)
        if not words:
            continue
        for offset, rank in enumerate(ranks_of(words[0])):
            if rank in programs or rank >= ntasks:
                raise SlurmError(f"srun: task {rank} is named twice, or beyond --ntasks={ntasks}, in {path}")
            programs[rank] = [word.replace("%t", str(rank)).replace("%o", str(offset)) for word in words[1:]]
    missing = [rank for rank in range(ntasks) if rank not in programs]
    if missing:
        raise SlurmError(f"srun: no program for task {missing[0]} in {path}")
    return [programs[rank] for rank in range(ntasks)]


def srun(words: list[str]) -> list[str]:
    """The mpirun command with the ranks that an srun line starts."""
    if "SLURM_JOB_ID" not in os.environ:
        raise SlurmError("srun: this script runs inside a job only")
    parts: list[list[str]] = [[]]
    for word in words:
        parts.append([]) if word == ":" else parts[-1].append(word)
    programs: list[list[str]] = []
    groups = []
    for part in parts:
        options, program = parse_srun(part)
        ntasks = int(options.get("ntasks") or 1)
        groups.append(options.get("het-group", "0"))
        programs += multi_prog(Path(program[0]), ntasks) if "multi-prog" in options else [program] * ntasks
    if len(parts) > 1 and sorted(set(groups)) != [str(k) for k in range(int(os.environ["SLURM_HET_SIZE"]))]:
        raise SlurmError(f"srun: parts of the job are {os.environ['SLURM_HET_SIZE']}, --het-group names {groups}")
    command = ["mpirun"]
    for rank, program in enumerate(programs):
        if rank == 0 or program != programs[rank - 1]:
            command += ([":"] if rank else []) + ["-np", "0", *program]
            count = len(command) - len(program) - 1
        command[count] = str(int(command[count]) + 1)
    return command


def job_options(script: Path) -> list[dict[str, str]]:
    """The #SBATCH lines of a script, one table for each part of the job."""
    parts: list[dict[str, str]] = [{}]
    for line in script.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            break  # Slurm reads no further than the first command
        for word in shlex.split(line.removeprefix("#SBATCH"), comments=True) if line.startswith("#SBATCH") else ():
            name, _, value = word.removeprefix("--").partition("=")
            if word == "hetjob":
                parts.append({})
            elif name not in SBATCH or not value or not word.startswith("--"):
                raise SlurmError(f"sbatch: unrecognized option '{word}'")
            else:
                parts[-1][name] = value
    return parts


def sbatch(script: Path) -> int:
    """Run a job script at once, as the batch shell would, from a copy elsewhere; its exit code.

    $FAKE_SLURM_SIGNAL: send the signal of --signal=B:... once this file exists; for the first job only.
    """
    parts = job_options(script)
    tasks = [int(part["nodes"]) * int(part["ntasks-per-node"]) for part in parts]
    job = int(os.environ.get("FAKE_SLURM_JOB", "1000")) + 1
    environment = {
        **os.environ,
        "SLURM_JOB_ID": str(job),
        "FAKE_SLURM_JOB": str(job),
        "SLURM_NTASKS": os.environ.get("FAKE_SLURM_NTASKS", str(tasks[0])),
        "SLURM_SUBMIT_DIR": os.getcwd(),
        "SLURM_HET_SIZE": str(len(parts)),
        "FAKE_SLURM_SCRIPT": str(script.resolve()),
    }
    wanted = environment.pop("FAKE_SLURM_SIGNAL", "")
    with tempfile.TemporaryDirectory() as spool:
        copy = shutil.copy(script, Path(spool) / "slurm_script")
        process = subprocess.Popen(["bash", copy], env=environment)
        found = re.fullmatch(r"B:([A-Z]+)@\d+", parts[0].get("signal", ""))
        while wanted and process.poll() is None:
            if found and Path(wanted).exists():
                process.send_signal(signal.Signals["SIG" + found[1]])
                break
            time.sleep(0.05)
        return process.wait()


def apptainer(words: list[str]) -> list[str]:
    """The command inside `apptainer exec [--nv] [--bind LIST] IMAGE COMMAND`: what the image holds is what lies here."""
    if not words or words.pop(0) != "exec":
        raise SlurmError("apptainer: only exec")
    while words[0].startswith("--"):
        option = words.pop(0)
        if option == "--bind":
            missing = [path for path in words.pop(0).split(",") if not Path(path).exists()]
            if missing:
                raise SlurmError(f"apptainer: mount source {missing[0]} doesn't exist")
        elif option != "--nv":
            raise SlurmError(f"apptainer: unknown option {option}")
    if not Path(words[0]).exists():
        raise SlurmError(f"apptainer: no image {words[0]}")
    return words[1:]


def main(tool: str, words: list[str]) -> int:
    """Run a tool."""
    try:
        if tool == "sbatch":
            return sbatch(Path(words[0]))
        if tool == "scontrol":
            print(f"JobId={os.environ['SLURM_JOB_ID']}\n   Command={os.environ['FAKE_SLURM_SCRIPT']}")
            return 0
        command = srun(words) if tool == "srun" else apptainer(words)
    except SlurmError as error:
        print(error, file=sys.stderr)
        return 1
    if tool == "srun" and "FAKE_SLURM_LOG" in os.environ:
        with Path(os.environ["FAKE_SLURM_LOG"]).open("a", encoding="utf-8") as log:
            log.write(shlex.join(["srun", *words]) + "\n" + shlex.join(command) + "\n")
    os.execvp(command[0], command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))

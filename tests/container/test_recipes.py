"""Dockerfiles, the Apptainer definition, the package list and the Makefile say the same; each broken twin is found out."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.conftest import REPO

sys.path.insert(0, str(REPO / "docker"))
from recipe import Ignored, RecipeError, Stage, command, definition, dockerfile, expand, pairs

CPU, GPU, DEF = "Dockerfile", "Dockerfile.gpu", "halocline.def"
ORT = "onnxruntime-gpu"  # the one RUN that only the GPU's recipe has


def read(folder: Path) -> dict[str, list[Stage]]:
    return {CPU: dockerfile(folder / CPU), GPU: dockerfile(folder / GPU), DEF: definition(folder / DEF)}


def runs(stages: list[Stage]) -> list[str]:
    return [step.text for stage in stages for step in stage.all("RUN")]


def made(stages: list[Stage]) -> list[str]:
    """Targets that the recipe asks make for, in order."""
    calls = re.findall(r"\bmake((?: +[^\s&|;]+)+)", "\n".join(run for run in runs(stages)))
    words = [word for call in calls for word in call.split()]
    return [word for word in words if re.fullmatch(r"[a-z-]+", word) and word != "make"]


def installed(stages: list[Stage]) -> set[str]:
    """What recipes name to apt themselves; everything else comes through the list."""
    calls = re.findall(r"apt-get install ((?:[^&|;\n(]|\([^)]*\))+)", "\n".join(runs(stages)))
    words = {word for call in calls for word in call.replace("$(cat ", "$(cat:").split()}
    return {word.replace("/halocline/", "") for word in words if not word.startswith("-")}


def faults(folder: Path) -> list[str]:
    """Where the recipes in `folder` disagree with each other, with the Makefile or with what an image must be."""
    recipes, found = read(folder), []
    makefile = (REPO / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.M))
    exported = dict(re.findall(r"^export (O\w+|MKL\w+) = (\S+)$", makefile, re.M))
    for name, stages in recipes.items():
        if unknown := set(made(stages)) - targets:
            found.append(f"{name}: make has no target {unknown}")
        if made(stages) != ["system", "setup", "fortran"]:
            found.append(f"{name}: makes {made(stages)}")
        if installed(stages) != {"make", "$(cat:build/runtime.txt)"}:
            found.append(f"{name}: installs packages of its own: {installed(stages)}")
        if not any("docker/runtime.sh > build/runtime.txt" in run for run in runs(stages[:1])):
            found.append(f"{name}: the packages of the last stage do not follow from the build")
        taken = [step.text for step in stages[-1].all("COPY")]
        if not any(re.match("--from=(build|trimmed) /halocline ", text) for text in taken):
            found.append(f"{name}: the last stage does not take the tree from the build")
        if not any("-name tests -prune" in run for run in runs(stages[:-1])):
            found.append(f"{name}: nothing is trimmed")
    project = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    if f"image.version {project['version']}" not in recipes[DEF][-1].last("LABELS"):
        found.append(f"{DEF}: label version is not {project['version']}")
    for name in (CPU, GPU):
        build, last = recipes[name][0], recipes[name][-1]
        if last.last("USER", "root") in ("root", "0"):
            found.append(f"{name}: runs as root")
        if build.last("USER", "root") in ("root", "0"):
            found.append(f"{name}: builds as root")
        if command(last.last("CMD")) != ["halocline", "demo"] or command(build.last("CMD")) != ["make", "demo"]:
            found.append(f"{name}: does not run the demo")
        if last.last("VOLUME") != "/halocline/runs":
            found.append(f"{name}: runs/ is no volume")
        before = [step.text for step in build.steps]
        before = before[: next((at for at, text in enumerate(before) if text.startswith("make system")), 0)]
        if "docker/packages.txt docker/" not in before:
            found.append(f"{name}: docker/packages.txt comes after make system")
        labels = dict(pair for step in last.all("LABEL") for pair in pairs(step.text))
        for key, value in (("version", project["version"]), ("licenses", project["license"])):
            if labels.get(f"org.opencontainers.image.{key}") != value:
                found.append(f"{name}: label {key} is not {value}")
        if labels.get("org.opencontainers.image.base.name") != last.base:
            found.append(f"{name}: label base.name is not {last.base}")
        environment = dict(pair for step in last.all("ENV") for pair in pairs(step.text))
        for key, value in exported.items():
            if "ALLOW_RUN_AS_ROOT" not in key and environment.get(key) != value:
                found.append(f"{name}: {key} is not the Makefile's {value}")
    cpu, gpu = ([run for run in runs(recipes[name]) if ORT not in run and "ldconfig" not in run] for name in (CPU, GPU))
    if cpu != gpu:
        found.append(f"{CPU} and {GPU} differ in: {set(cpu) ^ set(gpu)}")
    if sum(ORT in run for run in runs(recipes[GPU])) != 1:
        found.append(f"{GPU}: onnxruntime is not exchanged for {ORT}")
    cuda = re.search(r"cuda:(\d+)\.(\d+)\.", recipes[GPU][0].base)
    torch = dict(pair for step in recipes[GPU][0].all("ARG") for pair in pairs(step.text)).get("TORCH_BUILD")
    if cuda is None or torch != f"cu{cuda[1]}{cuda[2]}":
        found.append(f"{GPU}: torch for {torch} on {recipes[GPU][0].base}")
    if {stage.base for stage in recipes[DEF]} != {recipes[CPU][-1].base}:
        found.append(f"{DEF}: another base than {CPU}")
    return found


def test_recipes_agree():
    """One list of packages, the same targets of make, stages, a user that is not root, the demo, the Makefile's settings."""
    assert faults(REPO / "docker") == []


TWINS = {
    "runs as root": (CPU, "USER halocline\nVOLUME", "USER root\nVOLUME"),
    "builds as root": (GPU, "USER halocline\nCOPY", "USER root\nCOPY"),
    "does not run the demo": (CPU, 'CMD ["halocline", "demo"]', 'CMD ["halocline"]'),
    "is no volume": (GPU, "VOLUME /halocline/runs", "VOLUME /data"),
    "packages of its own": (DEF, "recommends make", "recommends make gfortran"),
    "make has no target": (DEF, "make system", "make packages"),
    "do not follow from the build": (DEF, "docker/runtime.sh > build/runtime.txt", "echo libc6 > build/runtime.txt"),
    "differ in": (GPU, "make fortran", "make fortran PREC=single"),
    "torch for cu126": (GPU, "TORCH_BUILD=cu130", "TORCH_BUILD=cu126"),
    "does not take the tree from the build": (CPU, "COPY --from=trimmed /halocline ./", "COPY . ./"),
    "is not the Makefile's": (CPU, "OMP_NUM_THREADS=1", "OMP_NUM_THREADS=4"),
    "label version": (GPU, 'image.version="0.1.0"', 'image.version="0.0.1"'),
    "comes after make system": (CPU, "COPY docker/packages.txt docker/\nRUN make system", "RUN make system"),
    "nothing is trimmed": (CPU, "-name tests", "-name examples"),
    "another base": (DEF, "From: debian:bookworm-slim\nStage: final", "From: debian:trixie-slim\nStage: final"),
}


@pytest.mark.parametrize("said", TWINS)
def test_a_recipe_that_disagrees_is_found(said, tmp_path):
    name, old, new = TWINS[said]
    for recipe in (CPU, GPU, DEF):
        shutil.copy(REPO / "docker" / recipe, tmp_path)
    text = (tmp_path / name).read_text(encoding="utf-8")
    assert old in text
    (tmp_path / name).write_text(text.replace(old, new), encoding="utf-8")
    assert any(said in fault for fault in faults(tmp_path)), faults(tmp_path)


@pytest.mark.parametrize(
    "text, said",
    [
        ("FROM a\nHEALTHCHECK true", "line 2: instruction HEALTHCHECK"),
        ("RUN true\nFROM a", "line 1: RUN before the first FROM"),
        ("FROM a\nRUN true \\", "line 2: the last line ends in a backslash"),
        ("# nothing", "no FROM"),
    ],
)
def test_a_dockerfile_that_cannot_be_read_is_refused(text, said, tmp_path):
    (tmp_path / "Dockerfile").write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError, match=re.escape(said)):
        dockerfile(tmp_path / "Dockerfile")


def test_a_section_that_is_not_known_is_refused(tmp_path):
    (tmp_path / "x.def").write_text("Bootstrap: docker\nFrom: a\n\n%setup\n    true\n", encoding="utf-8")
    with pytest.raises(RecipeError, match="line 4: section %setup"):
        definition(tmp_path / "x.def")


def test_variables_and_words_are_those_of_docker():
    assert expand("${A}-$B-${C:-d}-${D}", {"A": "1", "B": "2"}) == "1-2-d-"
    assert pairs('A=1 B="two words" C') == [("A", "1"), ("B", "two words"), ("C", "")]
    assert command('["a", "b c"]') == ["a", "b c"] and command("a b") == ["/bin/sh", "-c", "a b"]


def copied(stages: list[Stage]) -> list[str]:
    """Files and folders of the tree that a recipe takes."""
    found = []
    for step in (step for stage in stages for step in stage.all("COPY") if "--from" not in step.text):
        found += [word for word in step.text.split()[:-1] if not word.startswith("--")]
    return found


def test_what_is_copied_is_there_and_not_ignored():
    ignored = Ignored(REPO / ".dockerignore")
    for name, stages in read(REPO / "docker").items():
        assert copied(stages), name
        for path in copied(stages):
            assert (REPO / path).exists(), f"{name}: {path}"
            assert not ignored(path), f"{name}: {path} is in .dockerignore"


def test_nothing_that_make_makes_goes_into_the_image(tmp_path):
    """.dockerignore names what .gitignore does, and the history; a list without them is found out."""
    made_here = (".git", ".venv", "build", "runs", "coupler/__pycache__", "halocline.egg-info", ".ruff_cache")
    assert all(map(Ignored(REPO / ".dockerignore"), made_here))
    assert not any(map(Ignored(REPO / ".dockerignore"), ("docker/runtime.sh", "coupler/oasis", "docs/pages/build.md")))
    (tmp_path / ".dockerignore").write_text(".git\n", encoding="utf-8")
    assert not all(map(Ignored(tmp_path / ".dockerignore"), made_here))


def test_every_script_and_every_step_is_shell():
    """`bash -n` for the scripts, `sh -n` for RUN, %post, %environment and %runscript."""
    for script in sorted((REPO / "docker").glob("*.sh")):
        subprocess.run(["bash", "-n", script], check=True, timeout=10)
    for name, stages in read(REPO / "docker").items():
        for step in (step for stage in stages for step in stage.steps if step.word in ("RUN", "SETUP", "SCRIPT")):
            asked = subprocess.run(["sh", "-n"], input=step.text, text=True, capture_output=True, timeout=10)
            assert asked.returncode == 0, f"{name} line {step.line}: {asked.stderr}"
    assert subprocess.run(["sh", "-n"], input="if true; then", text=True, capture_output=True, timeout=10).returncode


needs_debian = pytest.mark.skipif(shutil.which("dpkg-query") is None, reason="needs a Debian system")


@pytest.mark.slow
@needs_debian
def test_packages_to_run_follow_from_what_was_built():
    """MPI, NetCDF and Python are among them, no compiler and nothing of the -dev kind."""
    asked = subprocess.run([REPO / "docker/runtime.sh"], capture_output=True, text=True, timeout=120)
    packages = asked.stdout.split()
    assert asked.returncode == 0, asked.stderr
    for wanted in ("python3", "openmpi-bin", "libopenmpi", "libnetcdff", "libgfortran", "libc6"):
        assert any(package.startswith(wanted) for package in packages), wanted
    assert not [
        package for package in packages if package.endswith("-dev") or package.startswith(("gcc-1", "gfortran"))
    ]


@pytest.mark.slow
@needs_debian
def test_a_library_without_a_package_is_an_error(tmp_path):
    real = shutil.which("dpkg-query")
    (tmp_path / "dpkg-query").write_text(f'#!/bin/sh\nexec {real} "$@" "*/libnobody.so.1"\n')
    (tmp_path / "dpkg-query").chmod(0o755)
    asked = subprocess.run(
        [REPO / "docker/runtime.sh"],
        capture_output=True,
        text=True,
        timeout=120,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
    )
    assert asked.returncode != 0 and "libnobody" in asked.stderr

#!/usr/bin/env python3
"""Prove a recipe without a container engine: run its steps, in the roots that it describes, and then the image.

    sudo docker/prove.py ROOT [docker/Dockerfile | docker/Dockerfile.gpu | docker/halocline.def] [options]

The recipe itself is read (docker/recipe.py) and executed, not a copy of it. Each stage is an overlay on its base; RUN is
a chroot with the user, folder and environment that the steps before it set; COPY takes from the tree that git sees, less
.dockerignore, or from an earlier stage. The base image is stood in for by debootstrap. At the end the image's command
runs as the image's user, and `halocline check` as a user that the image does not know, with the image read-only.

Mounts live in a namespace of their own and vanish with it. ROOT is left for a look, and can be removed with rm -rf.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from recipe import Ignored, RecipeError, Stage, Step, command, definition, dockerfile, expand, pairs

TREE = Path(__file__).resolve().parents[1]
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SLIM = ("usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/locale")  # what a slim base leaves out
APT = 'APT::Keep-Downloaded-Packages "false"; Dir::Cache::pkgcache ""; Dir::Cache::srcpkgcache "";\n'  # as it has them
KERNEL = (
    ("proc", "proc", "rw"),
    ("sysfs", "sys", "ro"),
    ("tmpfs", "dev/shm", "mode=1777"),
    ("devpts", "dev/pts", "newinstance,ptmxmode=0666"),
)
STRANGER = "12345"  # a user that no image knows
CHECK = ["halocline", "check", "namelists/gyre_zb20", "--ocean-ranks", "2"]  # ocean over MPI, network, seconds


def say(text: str) -> None:
    """One line of progress."""
    print(f"prove.py: {text}", flush=True)


def sh(*words: str | Path, **more: object) -> None:
    """A command of this machine; raises CalledProcessError."""
    subprocess.run([str(word) for word in words], check=True, **more)  # type: ignore[call-overload]


class Root:
    """An overlay that a chroot can enter: `low` read-only below, changes in `folder`/upper."""

    def __init__(self, folder: Path, low: list[Path], options: argparse.Namespace) -> None:
        self.path, self.upper, self.options = folder / "merged", folder / "upper", options
        self.layers = [self.upper, *low]
        for part in (self.path, self.upper, folder / "work"):
            part.mkdir(parents=True, exist_ok=True)
        lower = ":".join(str(layer) for layer in low)
        sh("mount", "-t", "overlay", "overlay", "-o",
           f"lowerdir={lower},upperdir={self.upper},workdir={folder / 'work'}", self.path)  # fmt: skip

    def enter(self) -> None:
        """What an engine shows inside: /proc, /sys, /dev/shm, the resolver; and what --show names, read-only."""
        for kind, target, how in KERNEL:
            sh("mount", "-t", kind, "-o", how, kind, self.path / target)
        shutil.copyfile("/etc/resolv.conf", self.path / "etc/resolv.conf")
        for shown in self.options.show:
            source, _, target = shown.partition(":")
            place = self.path / (target or source).lstrip("/")
            if Path(source).is_dir():
                place.mkdir(parents=True, exist_ok=True)
            else:
                place.parent.mkdir(parents=True, exist_ok=True)
                place.touch()
            sh("mount", "--bind", "-o", "ro", source, place)

    def leave(self) -> None:
        """Unmount what `enter` mounted, last first; folders made for it go too."""
        for shown in reversed(self.options.show):
            source, _, target = shown.partition(":")
            place = self.path / (target or source).lstrip("/")
            sh("umount", place)
            place.unlink() if place.is_file() else place.rmdir()
        for _, target, _ in reversed(KERNEL):
            sh("umount", self.path / target)

    def run(self, words: list[str], user: str, folder: str, environment: dict[str, str]) -> None:
        """A command inside, as `user` (a name of the image, or a number), in a clean environment."""
        inside = ["chroot", str(self.path), "/bin/sh", "-c", 'cd "$1" && shift && exec "$@"', "sh", folder]
        who = self.identity(user)
        if who[0] != "0":
            inside += ["setpriv", f"--reuid={who[0]}", f"--regid={who[1]}", "--clear-groups"]
        home = {"HOME": who[2]} if "HOME" not in environment else {}
        sh(*inside, *words, env={"PATH": PATH, **home, **environment}, stdin=subprocess.DEVNULL)

    def identity(self, user: str) -> tuple[str, str, str]:
        """(uid, gid, home) of a user of this root; a number it does not know has no home."""
        for line in (self.path / "etc/passwd").read_text(encoding="utf-8").splitlines():
            name, _, uid, gid, _, home, _ = line.split(":")
            if user in (name, uid):
                return uid, gid, home
        if user.isdigit():
            return user, user, "/"
        raise RecipeError(f"the image has no user '{user}'.")

    def size(self) -> int:
        """Megabytes of the whole root."""
        said = subprocess.run(["du", "-sxm", str(self.path)], check=True, capture_output=True, text=True)
        return int(said.stdout.split()[0])


class Image:
    """A stage and what its steps have set so far."""

    def __init__(self, stage: Stage, root: Root, images: dict[str, "Image"], options: argparse.Namespace) -> None:
        self.stage, self.root, self.images, self.options = stage, root, images, options
        below = images.get(stage.base)
        self.environment: dict[str, str] = dict(below.environment) if below else {}
        self.user: str = below.user if below else "root"
        self.folder: str = below.folder if below else "/"
        self.arguments: dict[str, str] = {}

    def build(self) -> None:
        """Carry out the steps, one after the other."""
        self.root.enter()
        for step in self.stage.steps:
            start = time.monotonic()
            shown = step.text.replace("\n", "; ")
            say(f"[{self.stage.name}] line {step.line}: {step.word} {shown[:110]}{'...' if len(shown) > 110 else ''}")
            getattr(self, f"_{step.word.lower()}")(step)
            if step.word in ("RUN", "COPY"):
                say(f"[{self.stage.name}] line {step.line}: {time.monotonic() - start:.1f} s")
        self.root.leave()

    def filled(self, text: str) -> str:
        """`text` with what ARG and ENV have set."""
        return expand(text, {**self.arguments, **self.environment})

    def _arg(self, step: Step) -> None:
        for name, value in pairs(step.text):
            self.arguments[name] = self.options.arguments.get(name, self.filled(value))

    def _env(self, step: Step) -> None:
        self.environment |= {name: self.filled(value) for name, value in pairs(step.text)}

    def _user(self, step: Step) -> None:
        self.user = self.filled(step.text)
        self.root.identity(self.user)

    def _workdir(self, step: Step) -> None:
        self.folder = os.path.join(self.folder, self.filled(step.text))
        (self.root.path / self.folder.lstrip("/")).mkdir(parents=True, exist_ok=True)

    def _run(self, step: Step) -> None:
        shell = ["/bin/sh", "-e", "-c"] if self.options.apptainer else ["/bin/sh", "-c"]
        passed = {name: value for name in self.options.env if (value := os.environ.get(name))}
        self.root.run([*shell, step.text], self.user, self.folder, {**passed, **self.arguments, **self.environment})

    def _copy(self, step: Step) -> None:
        words = self.filled(step.text).split()
        flags = dict(word[2:].split("=", 1) for word in words if word.startswith("--"))
        *sources, target = [word for word in words if not word.startswith("--")]
        if unknown := flags.keys() - {"from", "chown"}:
            raise RecipeError(f"line {step.line}: COPY --{unknown.pop()}. Known: --from, --chown.")
        place = self.root.path / os.path.join(self.folder, target).lstrip("/")
        origin = self.images[flags["from"]].root.path if "from" in flags else self.options.context
        owner = ":".join(self.root.identity(flags["chown"].split(":")[0])[:2]) if "chown" in flags else "0:0"
        for source in sources:
            found = origin / source.lstrip("/")
            if not found.exists():
                raise RecipeError(
                    f"line {step.line}: COPY {source}: not in {'the stage' if 'from' in flags else 'the tree'}."
                )
            if self.options.apptainer:  # its own way to copy: links are followed
                place.parent.mkdir(parents=True, exist_ok=True)
                sh("cp", "-fLr", found, place)
                continue
            # A folder's content goes into the target, a file into a folder or to a new name.
            self._place(
                found,
                place / found.name if found.is_file() and (target.endswith("/") or place.is_dir()) else place,
                owner,
            )

    @staticmethod
    def _place(found: Path, into: Path, owner: str) -> None:
        into.parent.mkdir(parents=True, exist_ok=True)
        if found.is_dir():
            into.mkdir(exist_ok=True)
        where, what, onto = (found, ".", into) if found.is_dir() else (found.parent, found.name, into.parent)
        user, group = owner.split(":")
        pack = ["tar", "-c", "--owner", user, "--group", group, "--numeric-owner", "-C", str(where), what]
        packed = subprocess.Popen(pack, stdout=subprocess.PIPE)
        sh("tar", "-x", "-p", "--numeric-owner", "--same-owner", "-C", onto, stdin=packed.stdout)
        if packed.wait():
            raise RecipeError(f"copying {found} failed.")

    def _label(self, step: Step) -> None:
        pairs(self.filled(step.text))

    def _nothing(self, step: Step) -> None:
        """Facts about the image that no step of the build needs."""

    _volume = _cmd = _entrypoint = _setup = _script = _labels = _nothing


def base(root: Path, mirror: str) -> Path:
    """Debian 12 as the slim base image has it: debootstrap's minimal system without documentation."""
    made = root / "base"
    if not (made / "etc/debian_version").exists():
        say(f"debootstrap: Debian 12, minimal, into {made}")
        sh("debootstrap", "--variant=minbase", "bookworm", made, mirror, stdout=subprocess.DEVNULL)
    rules = "".join(f"path-exclude /{folder}/*\n" for folder in SLIM)
    (made / "etc/dpkg/dpkg.cfg.d/slim").write_text(f"{rules}force-unsafe-io\n", encoding="utf-8")
    (made / "etc/apt/apt.conf.d/slim").write_text(APT, encoding="utf-8")
    for folder in (*SLIM, "var/lib/apt/lists", "var/cache/apt/archives"):
        shutil.rmtree(made / folder, ignore_errors=True)
        (made / folder).mkdir()
    (made / "var/cache/apt/archives/partial").mkdir()
    return made


def context(root: Path) -> Path:
    """The tree as git sees it, tracked files and new ones, less what .dockerignore names; made anew each time."""
    ignored = Ignored(TREE / ".dockerignore")
    listed = subprocess.run(
        ["git", "-C", str(TREE), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        check=True, capture_output=True, text=True,
    ).stdout.split("\0")  # fmt: skip
    made = root / "context"
    shutil.rmtree(made, ignore_errors=True)
    for name in filter(None, listed):
        parts = name.split("/")
        above = ("/".join(parts[: count + 1]) for count in range(len(parts)))
        if (TREE / name).is_file() and not any(map(ignored, above)):
            (made / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(TREE / name, made / name)
    return made


def start(image: Image, options: argparse.Namespace, user: str, name: str, words: list[str]) -> Path:
    """Run the image as an engine does, with an empty folder of that user where its runs go; returns that folder."""
    runs = options.root / name
    shutil.rmtree(runs, ignore_errors=True)
    runs.mkdir()
    uid, gid, _ = image.root.identity(user)
    os.chown(runs, int(uid), int(gid))
    # Apptainer starts in the host's folder, docker in the image's, with the volume below it.
    folder = "/mnt" if options.apptainer else image.folder
    place = image.root.path / (image.stage.last("VOLUME") or folder).lstrip("/")
    sh("mount", "--bind", image.root.path, image.root.path)
    sh("mount", "-o", "remount,ro,bind", image.root.path)
    sh("mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", image.root.path / "tmp")
    for kind, target, how in KERNEL:
        sh("mount", "-t", kind, "-o", how, kind, image.root.path / target)
    sh("mount", "--bind", runs, place)
    begin = time.monotonic()
    who = f"user {user}" if user != image.user else f"its user {user}"
    say(f"run as {who} ({uid}), image read-only, {place.relative_to(image.root.path)} writable: {words[0]} {words[1]}")
    image.root.run(words, user, folder, image.environment)
    say(f"ran {time.monotonic() - begin:.1f} s")
    for mounted in (place, *(image.root.path / part for _, part, _ in reversed(KERNEL)), image.root.path / "tmp"):
        sh("umount", mounted)
    sh("umount", image.root.path)
    return runs


def pictures(runs: Path) -> None:
    """What the demo must have left; raises RecipeError where a picture or a run that ended well is missing."""
    demo = next((path for path in (runs / "demo", runs / "runs/demo") if path.is_dir()), None)
    if demo is None:
        raise RecipeError(f"no demo in {runs}.")
    for name in ("demo.png", "demo_networks.png"):
        if not (demo / name).is_file() or (demo / name).stat().st_size < 50_000:
            raise RecipeError(f"the demo left no {name} in {demo}.")
        say(f"{demo / name}: {(demo / name).stat().st_size} bytes")
    for end in sorted(demo.glob("*/halocline.coupler.json")):
        if not json.loads(end.read_text(encoding="utf-8")).get("ended"):
            raise RecipeError(f"{end.parent} did not end well.")


def main() -> None:
    """The command line."""
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = reader.add_argument
    add("root", type=Path, help="a folder for the roots; needs about 5 GB")
    add("recipe", type=Path, nargs="?", default=TREE / "docker/Dockerfile")
    add("--arg", action="append", default=[], metavar="NAME=VALUE", help="a build argument")
    add(
        "--env",
        action="append",
        default=[],
        metavar="NAME",
        help="pass this variable to the steps; PIP_*, *_proxy always are",
    )
    add(
        "--show",
        action="append",
        default=[],
        metavar="PATH[:INSIDE]",
        help="file or folder to show inside, read-only: wheels, certificates",
    )
    add("--mirror", default="http://deb.debian.org/debian", help="of Debian")
    add("--make-demo", action="store_true", help="also `make demo` in the stage `build`, as its user")
    add("--no-demo", action="store_true", help="the image runs `halocline check` in place of its command, the demo")
    options = reader.parse_args()
    if os.geteuid() != 0:
        sys.exit("prove.py: needs root, for chroot and mount: sudo docker/prove.py ...")
    if os.environ.get("HALOCLINE_PROVE") != "inside":  # every mount and every process ends with this call
        apart = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"]
        os.execvpe(apart[0], [*apart, sys.executable, *sys.argv], {**os.environ, "HALOCLINE_PROVE": "inside"})
    options.env += [name for name in os.environ if name.startswith("PIP_") or name.lower().endswith("_proxy")]
    options.arguments = dict(item.split("=", 1) for item in options.arg)
    options.apptainer = options.recipe.suffix == ".def"
    options.root = options.root.resolve()
    options.root.mkdir(parents=True, exist_ok=True)
    try:
        prove(options)
    except RecipeError as error:
        sys.exit(f"prove.py: FAILED: {options.recipe}: {error}")
    except subprocess.CalledProcessError as error:
        sys.exit(f"prove.py: FAILED: exit code {error.returncode} of: {' '.join(map(str, error.cmd))[:400]}")


def prove(options: argparse.Namespace) -> None:
    """Build every stage of the recipe, then run the image; raises RecipeError."""
    stages = definition(options.recipe) if options.apptainer else dockerfile(options.recipe, options.arguments)
    made, options.context = base(options.root, options.mirror), context(options.root)
    images: dict[str, Image] = {}
    stands_in = options.root / options.recipe.name
    shutil.rmtree(stands_in, ignore_errors=True)
    for stage in stages:
        below = images.get(stage.base)
        if below is None:
            say(f"[{stage.name}] FROM {stage.base}: stood in for by debootstrap's Debian 12")
        low = below.root.layers if below else [made]
        image = Image(stage, Root(stands_in / stage.name, low, options), images, options)
        image.build()
        images[stage.name] = image
        say(f"[{stage.name}] {image.root.size()} MB, user {image.user}")
    if image.user == "root" and not options.apptainer:
        raise RecipeError("the image runs as root. End the recipe with a USER.")
    if options.make_demo and not options.apptainer:
        source = images["build"]
        source.root.enter()
        begin = time.monotonic()
        say(f"make demo in the stage 'build' as {source.user}")
        source.root.run(["make", "demo"], source.user, source.folder, source.environment)
        say(f"make demo ran {time.monotonic() - begin:.1f} s")
        pictures(source.root.path / "halocline/runs")
        source.root.leave()
    if options.apptainer:
        setup, script = stages[-1].last("SETUP"), stages[-1].last("SCRIPT")
        words = ["/bin/sh", "-c", f"{setup}\n{script}", "runscript"]
        pictures(start(image, options, STRANGER, "runs.apptainer", words))
    else:
        words = command(stages[-1].last("ENTRYPOINT")) + command(image.stage.last("CMD"))
        if options.no_demo:
            start(image, options, image.user, "runs.user", CHECK)
        else:
            pictures(start(image, options, image.user, "runs.user", words))
        start(image, options, STRANGER, "runs.stranger", CHECK)
    say(f"proven: {options.recipe.name}")


if __name__ == "__main__":
    main()

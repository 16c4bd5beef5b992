#!/usr/bin/env bash
# Prove the bootstrap: build a Debian 12 root with nothing but git, make and python3 in it, copy this tree into it, and
# run make there, first without rights (must stop with the line to run), then as root, then again (must be quick).
#
#   sudo docker/bare.sh ROOT [TARGET ...]       default target: setup
#
# ROOT is kept, so a second call starts from what the first left; remove it for a bare start. From the environment:
#   BARE_MIRROR  Debian mirror
#   BARE_COPY    files and folders to copy into ROOT, for machines behind a proxy or mirror (pip.conf, certificates)
#   BARE_BIND    folders to show read-only inside ROOT (a folder of wheels)
#   BARE_ENV     names of environment variables to pass on; PIP_* and *_proxy always are
set -euo pipefail

if [ $# -lt 1 ] || [ "$(id -u)" != 0 ]; then
  echo "usage, as root: $0 ROOT [TARGET ...]" >&2
  exit 2
fi
mkdir -p "$1"
root=$(realpath "$1")
shift
targets=("${@:-setup}")
tree=$(realpath "$(dirname "$0")/..")
mirror=${BARE_MIRROR:-http://deb.debian.org/debian}
bare=no

say() { echo "bare.sh: $*"; }

if [ ! -e "$root/etc/debian_version" ]; then
  command -v debootstrap >/dev/null || { echo "bare.sh: needs debootstrap: apt-get install debootstrap" >&2; exit 1; }
  say "Debian 12 with git, make, python3 into $root"
  log=$(mktemp)
  debootstrap --variant=minbase --include=ca-certificates,git,make,python3 bookworm "$root" "$mirror" >"$log" 2>&1 ||
    { tail -5 "$log" >&2; exit 1; }
  rm -f "$log"
  bare=yes
fi

# Whatever happens, nothing stays mounted: a later rm -rf of ROOT must not reach outside it.
mounted=()
leave() {
  for ((i = ${#mounted[@]} - 1; i >= 0; i--)); do umount "${mounted[i]}" || say "still mounted: ${mounted[i]}"; done
}
trap leave EXIT
show() { # show SOURCE TARGET OPTIONS...
  local source=$1 target=$2
  shift 2
  mkdir -p "$target"
  mount "$@" "$source" "$target"
  mounted+=("$target")
}
show proc "$root/proc" -t proc
show sysfs "$root/sys" -t sysfs -o ro
show tmpfs "$root/dev/shm" -t tmpfs -o mode=1777 # Open MPI's shared memory; the other devices are debootstrap's
for folder in ${BARE_BIND:-}; do show "$folder" "$root$folder" --bind -o ro; done

cp -L /etc/resolv.conf "$root/etc/resolv.conf"
for path in ${BARE_COPY:-}; do
  mkdir -p "$root$(dirname "$path")"
  cp -rL "$path" "$root$(dirname "$path")/"
done

# The tree as git sees it: tracked files and new ones, nothing that is ignored.
mkdir -p "$root/halocline"
git -C "$tree" ls-files -z --cached --others --exclude-standard |
  tar -c -C "$tree" --null -T - --ignore-failed-read 2>/dev/null | tar -x -C "$root/halocline"

pass=(HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8)
for name in $(compgen -e | grep -E '^PIP_|_proxy$|_PROXY$' || true) ${BARE_ENV:-}; do
  [ -z "${!name:-}" ] || pass+=("$name=${!name}")
done
inside() { chroot "$root" env -i "${pass[@]}" "$@"; }

if [ $bare = yes ]; then
  say "without rights: must stop and print the line to run"
  if inside setpriv --reuid=nobody --regid=nogroup --clear-groups make -C /halocline setup; then
    say "FAILED: make setup went on without rights" >&2
    exit 1
  fi
fi

for round in first second; do
  say "make ${targets[*]}, $round time"
  start=$(date +%s%N)
  inside make --no-print-directory -C /halocline "${targets[@]}"
  say "$round time: $((($(date +%s%N) - start) / 1000000)) ms"
done

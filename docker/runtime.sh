#!/usr/bin/env bash
# Debian packages that a built tree needs to run, one per line: the owners of every shared library that the compiled ocean
# and .venv load from the system, Python, and mpirun. So an image without compilers follows from docker/packages.txt too.
set -euo pipefail
cd "$(dirname "$0")/.."

# Packages know a file with or without /usr, and under its real name: the last part decides. Wheels hold libraries for
# other machines, of which ldd complains.
mapfile -t patterns < <(
  find build .venv -type f \( -name '*.exe' -o -name '*.so' -o -name '*.so.*' \) -print0 |
    { xargs -0 -r ldd 2>/dev/null || true; } | awk '$2 == "=>" && $3 ~ "^/(usr/)?lib" {print $3}' | sort -u |
    while read -r library; do echo "*/$(basename "$(realpath "$library")")"; done
)
[ ${#patterns[@]} -gt 0 ] || { echo "runtime.sh: nothing is built yet: make fortran" >&2; exit 1; }
{
  echo python3
  dpkg-query -S "$(realpath "$(command -v mpirun)")" "${patterns[@]}" | cut -d: -f1
} | sort -u | grep -v -e '-dev$'

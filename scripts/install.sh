#!/bin/sh
# Installs what Gradus builds with, where it is missing: scripts/install.sh [consumers] [check] [bench] [docs] [pictures]
# consumers: also git, from which one of the consumer projects takes Gradus;
# check: also what `make check-long` needs; bench: also the peer that `make bench` measures; docs: also what
# `make docs` needs; pictures: also Graphviz, which draws graphs, and Chromium, in which reports are tested.
set -eu

required="g++ cmake ninja-build libfmt-dev libspdlog-dev libgtest-dev libgmock-dev libbenchmark-dev
          nlohmann-json3-dev libcli11-dev"
optional="libhdf5-dev"
for set in "$@"; do
  case $set in
    consumers) required="$required git" ;;
    check) required="$required clang-14 clang-tidy-14 libclang-rt-14-dev libc++-14-dev libc++abi-14-dev emscripten" ;;
    # Without OpenBLAS, libtorch multiplies with the reference BLAS, at a tenth of its speed.
    bench) optional="$optional libtorch-dev libopenblas0-pthread" ;;
    docs) required="$required doxygen doxygen-awesome-css" ;;
    pictures) optional="$optional graphviz chromium" ;;
    *) echo "install.sh: unknown set of packages: '$set' (known: consumers, check, bench, docs, pictures)" >&2; exit 2 ;;
  esac
done

if ! command -v apt-get >/dev/null; then
  echo "install.sh: not a Debian system; nothing is installed. Gradus needs g++ 12 or clang 14, CMake 3.25, fmt, spdlog,"
  echo "GoogleTest, Google Benchmark, nlohmann-json and CLI11; with HDF5 the cat tutorial reads its data."
  exit 0
fi

missing() {
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
  done
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else echo "install.sh: no sudo here; run scripts/install.sh as root first" >&2; exit 1
  fi
}

needed=$(missing $required)
wanted=$(missing $optional)
[ -n "$needed$wanted" ] || exit 0

echo "install.sh: installing" $needed $wanted
as_root apt-get -q update
[ -z "$needed" ] || as_root env DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends $needed
for package in $wanted; do
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends "$package" ||
    echo "install.sh: going on without $package, which is optional"
done

#!/bin/sh
# Builds and runs the two consumer projects: find_package on an installed Gradus, and add_subdirectory.
set -eu
cd "$(dirname "$0")/.."
out=$PWD/build/consumers
rm -rf "$out"

cmake --install build --prefix "$out/prefix" >/dev/null
if grep -rl -e "$PWD/autograd" -e "$PWD/build/" "$out/prefix/lib" --include='*.cmake'; then
  echo "consumers: the installed package files above point into the source or build folder" >&2
  exit 1
fi

cmake -S tests/consumers/find_package -B "$out/find_package" -DCMAKE_PREFIX_PATH="$out/prefix"
# As a user's project might compile it: several files as one; there is nothing to debug.
cmake -S tests/consumers/add_subdirectory -B "$out/add_subdirectory" -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG= \
      -DCMAKE_UNITY_BUILD=ON
for project in find_package add_subdirectory; do
  cmake --build "$out/$project"
  "$out/$project/train_step"
done

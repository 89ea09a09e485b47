#!/bin/sh
# Builds and runs the consumer projects of tests/consumers:
#   find_package      on an installed Gradus
#   add_subdirectory  a module that holds Gradus, opened by a program without it
#   fetch_content     Gradus from a git repository, shared by a program and the modules that it opens, all of hidden
#                     visibility
set -eu
cd "$(dirname "$0")/.."
out=$PWD/build/consumers
rm -rf "$out"

fail() {
  echo "consumers: $1" >&2
  exit 1
}

cmake --install build --prefix "$out/prefix" >/dev/null
! grep -rl -e "$PWD/autograd" -e "$PWD/build/" "$out/prefix/lib" --include='*.cmake' ||
  fail "the installed package files above point into the source or build folder"

# What the library is made of, as it stands here: the checkout may be dirty, or none.
git init -q -b main "$out/repository"
cp -R CMakeLists.txt cmake autograd nn optim gradus.h "$out/repository"
git -C "$out/repository" add .
git -C "$out/repository" -c user.name=consumers -c user.email= commit -q -m "The library"

# As a user's project might compile it: several files as one; there is nothing to debug.
cheap="-DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG= -DCMAKE_UNITY_BUILD=ON"
cmake -S tests/consumers/find_package -B "$out/find_package" -DCMAKE_PREFIX_PATH="$out/prefix"
cmake -S tests/consumers/add_subdirectory -B "$out/add_subdirectory" $cheap
cmake -S tests/consumers/fetch_content -B "$out/fetch_content" $cheap -DGRADUS_REPOSITORY="file://$out/repository"
for project in find_package add_subdirectory fetch_content; do
  cmake --build "$out/$project"
  ctest --no-tests=error --test-dir "$out/$project"
done

cmake --install "$out/add_subdirectory" --prefix "$out/nothing" >/dev/null
[ ! -e "$out/nothing" ] || fail "what a project adds is installed with it: $out/nothing"

for library in autograd nn optim; do
  symbols=$(nm -DC --defined-only "$out/fetch_content/_deps/gradus-build/libgradus_$library.so")
  ! echo "$symbols" | grep -v gradus:: || fail "libgradus_$library.so exports the above, which is not Gradus'"
done

# In a project without a build type Gradus is optimised, and the project is not.
cmake -S tests/consumers/add_subdirectory -B "$out/no_build_type" -DCMAKE_EXPORT_COMPILE_COMMANDS=ON >/dev/null
commands=$(grep '"command"' "$out/no_build_type/compile_commands.json")
ours=$(echo "$commands" | grep -e "$PWD/[a-z]*/[a-z]*/*[a-z_]*.cpp" | grep -v "$PWD/tests")
! echo "$ours" | grep -v -e ' -O[23] ' || fail "the above is not optimised in a project without a build type"
! echo "$commands" | grep "$PWD/tests" | grep -e ' -O[0-9]' || fail "the above is the project's, and is optimised"

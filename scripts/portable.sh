#!/bin/sh
# Compiles the library with libc++, and for WebAssembly, where size_t has 32 bits; there the README's program runs, and
# trains as it does here: scripts/portable.sh, after `make test`.
set -eu
cd "$(dirname "$0")/.."
out=build/portable
rm -rf "$out"
mkdir -p "$out/include"
# Of the system's headers, these alone.
ln -s /usr/include/fmt /usr/include/nlohmann "$out/include"

flags="-std=c++20 -DFMT_HEADER_ONLY -Wall -Wextra -Werror -Ibuild/include"
sources=$(find autograd nn optim -name '*.cpp' ! -name '*_rows.cpp')
each() {
  printf '%s\n' $sources | xargs -P "${CMAKE_BUILD_PARALLEL_LEVEL:-1}" -I{} "$@"
}

each clang++-14 -stdlib=libc++ $flags -fsyntax-only {}

mkdir -p $(dirname $sources | sed "s,^,$out/,")
wasm="$flags -fwasm-exceptions -I$out/include"
each em++ $wasm -c {} -o "$out/{}.o"
em++ $wasm docs/snippets/readme.cpp $(find "$out" -name '*.o') -sALLOW_MEMORY_GROWTH -sSINGLE_FILE -o "$out/readme.js"
training() { sed -n '/^step/,$p'; }
build/bin/docs_readme | training >"$out/here"
node "$out/readme.js" | training | diff "$out/here" -
[ -s "$out/here" ]
echo "portable.sh: trained in WebAssembly as here"

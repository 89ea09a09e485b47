# The commands of the README; each installs and configures what it needs. CMakePresets.json does the same by hand.
export CMAKE_BUILD_PARALLEL_LEVEL ?= $(shell nproc)
export CTEST_PARALLEL_LEVEL ?= $(CMAKE_BUILD_PARALLEL_LEVEL)
export CTEST_OUTPUT_ON_FAILURE ?= 1
export CMAKE_GENERATOR ?= $(if $(shell command -v ninja),Ninja,Unix Makefiles)
export CMAKE_CXX_COMPILER_LAUNCHER ?= $(shell command -v ccache)

# Several targets build in build/.
.NOTPARALLEL:
.PHONY: demo test ci pictures picture-packages minimal consumers sanitizers docs bench format clean packages release

demo: release
	cmake --build build --target 04_planar
	build/bin/04_planar

test: release
	cmake --build build --target all gradus_headers
	ctest --no-tests=error --test-dir build

ci: picture-packages test minimal consumers sanitizers docs

packages:
	@scripts/install.sh

picture-packages:
	@scripts/install.sh pictures

# Several files are compiled as one where all of them are compiled once: in make ci.
UNITY_BUILD ?= OFF
ci: UNITY_BUILD = ON

release: packages
	@cmake --preset release -DCMAKE_UNITY_BUILD=$(UNITY_BUILD)

# The same without the optional package: what depends on it is built anew, and tested.
minimal: test
	cmake --preset release -DGRADUS_WITH_HDF5=OFF
	cmake --build build
	ctest --no-tests=error --test-dir build -R '[Hh]df5|[Cc]at|[Tt]rain|tutorial_2'
	cmake --preset release

consumers: test
	@scripts/install.sh consumers
	scripts/consumers.sh

sanitizers: packages
	cmake --preset asan
	cmake --build build-asan --target gradus_tests
	ctest --no-tests=error --test-dir build-asan -L fast

# The pictures of the README and of the pages, from real runs.
pictures: release picture-packages
	cmake --build build --target gradus_command
	scripts/pictures.sh

# The pages and the API as a site: build/docs/html/index.html.
docs:
	@scripts/install.sh docs
	mkdir -p build
	GRADUS_DOCS=build/docs doxygen docs/Doxyfile

# What takes longer than a change should wait for.
.PHONY: check-long long levels shared portable clang tidy asan tsan check-packages
check-long: long levels shared portable clang tidy asan tsan

check-packages:
	@scripts/install.sh check

long: test
	GRADUS_LONG=1 ctest --no-tests=error --test-dir build

# Each level that this processor has, as its dynamic loader sees them, on every test.
levels: test
	for level in baseline $$(/lib64/ld-linux-x86-64.so.2 --help | sed -n 's/^ *x86-64-\(v[34]\) (supp.*/\1/p'); do \
	  echo "GRADUS_ISA=$$level"; GRADUS_ISA=$$level ctest --no-tests=error --test-dir build || exit 1; done

# What a test reaches, the shared libraries export.
shared: packages
	cmake --preset shared
	cmake --build build-shared
	ctest --no-tests=error --test-dir build-shared

portable: check-packages test
	scripts/portable.sh

clang: check-packages
	cmake --preset clang
	cmake --build build-clang --target all gradus_headers
	ctest --no-tests=error --test-dir build-clang

tidy: clang
	git ls-files 'autograd/*.cpp' 'nn/*.cpp' 'optim/*.cpp' 'examples/*.cpp' 'docs/*.cpp' 'tests/*_test.cpp' | \
	  xargs -P $(CMAKE_BUILD_PARALLEL_LEVEL) -n 1 clang-tidy-14 -p build-clang --quiet

asan: sanitizers
	cmake --build build-asan
	ctest --no-tests=error --test-dir build-asan

tsan: packages
	cmake --preset tsan
	cmake --build build-tsan --target gradus_tests
	ctest --no-tests=error --test-dir build-tsan -R '[Tt]hread|[Pp]arallel'

bench: release
	@scripts/install.sh bench
	cmake --build build --target gradus_compared
	build/bin/gradus_compare --results bench/results

curves: release
	cmake --build build --target gradus_curves
	build/bin/gradus_curves --data bench/results --images docs/images

format:
	git ls-files '*.h' '*.cpp' | xargs clang-format -i

clean:
	rm -rf build build-debug build-shared build-asan build-tsan build-clang

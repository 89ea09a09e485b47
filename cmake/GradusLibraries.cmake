# gradus_library(nn): the library gradus::nn from every source below nn/.
function(gradus_library part)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${part}/*.cpp ${PROJECT_SOURCE_DIR}/${part}/*.h)
  list(FILTER sources EXCLUDE REGEX "_(rows|levels)\\.cpp$")
  add_library(gradus_${part} ${sources})
  add_library(gradus::${part} ALIAS gradus_${part})
  gradus_usage(gradus_${part})
  set_target_properties(gradus_${part} PROPERTIES EXPORT_NAME ${part} LINKER_LANGUAGE CXX INSTALL_RPATH $ORIGIN)
  if(BUILD_SHARED_LIBS)
    target_link_options(gradus_${part} PRIVATE LINKER:--version-script=${PROJECT_SOURCE_DIR}/cmake/exports.map)
    set_property(TARGET gradus_${part} PROPERTY LINK_DEPENDS ${PROJECT_SOURCE_DIR}/cmake/exports.map)
  endif()
endfunction()

function(gradus_usage target)
  target_compile_features(${target} PUBLIC cxx_std_20)
  target_include_directories(${target} PUBLIC $<BUILD_INTERFACE:${PROJECT_BINARY_DIR}/include>
                                              $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  # What is exported, the headers say: between visibility push(default) and pop.
  set_target_properties(${target} PROPERTIES CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
endfunction()

# Kernels are always optimised: at -O0 they are 50 times slower, and std inlines would stay as weak copies
# compiled for the level. At -O3 those with sanitizers take minutes to compile. Their loops are long: here memcpy is
# welcome. kernels/*_levels.cpp is compiled once for each level that the processor may have.
function(gradus_kernels)
  set(kernels ${PROJECT_SOURCE_DIR}/autograd/kernels)
  file(GLOB sources CONFIGURE_DEPENDS ${kernels}/*.cpp)
  file(GLOB levels CONFIGURE_DEPENDS ${kernels}/*_levels.cpp)
  file(GLOB products CONFIGURE_DEPENDS ${kernels}/gemm*.cpp)
  set_property(SOURCE ${sources} APPEND PROPERTY COMPILE_OPTIONS
               $<IF:$<CONFIG:Debug>,-O1,-O3> $<$<CXX_COMPILER_ID:GNU>:-ftree-loop-distribute-patterns>)
  set_property(SOURCE ${levels} APPEND PROPERTY COMPILE_OPTIONS
               $<$<CXX_COMPILER_ID:GNU>:-ftree-slp-vectorize>)
  set_property(SOURCE ${products} APPEND PROPERTY COMPILE_OPTIONS -ffp-contract=fast)

  set(flags_v3 -march=x86-64-v3)
  set(flags_v4 -march=x86-64-v4 -mprefer-vector-width=512)
  set(names baseline)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
    list(APPEND names v3 v4)
    set(flags_baseline -march=x86-64)
  endif()
  foreach(name IN LISTS names)
    add_library(gradus_kernels_${name} OBJECT ${levels})
    gradus_usage(gradus_kernels_${name})
    if(BUILD_SHARED_LIBS)
      set_property(TARGET gradus_kernels_${name} PROPERTY POSITION_INDEPENDENT_CODE ON)
    endif()
    # g++ 12 calls its own AVX-512 intrinsics uninitialized (GCC bug 105593).
    target_compile_options(gradus_kernels_${name} PRIVATE ${flags_${name}} -fno-plt
                           $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized -Wno-uninitialized>)
    target_link_libraries(gradus_kernels_${name} PRIVATE fmt::fmt)
    target_sources(gradus_autograd PRIVATE $<TARGET_OBJECTS:gradus_kernels_${name}>)
  endforeach()
endfunction()

# The rows of the op table, for the programs that go through the table: tests, benchmarks, the corpus.
function(gradus_op_rows)
  file(GLOB_RECURSE rows CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/autograd/*_rows.cpp)
  add_library(gradus_rows OBJECT ${rows})
  target_link_libraries(gradus_rows PUBLIC gradus::gradus)
endfunction()

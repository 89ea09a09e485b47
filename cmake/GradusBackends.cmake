# What makes products faster where it is found: gradus::oneDNN and gradus::CBLAS. Also read by an installed Gradus.
function(gradus_backend name library include_dir)
  if(NOT ${library} OR NOT ${include_dir})
    message(STATUS "gradus: ${name} not found, its products use the kernels of Gradus")
  elseif(NOT TARGET gradus::${name})
    add_library(gradus::${name} UNKNOWN IMPORTED)
    set_target_properties(gradus::${name} PROPERTIES IMPORTED_LOCATION ${${library}}
                                                     INTERFACE_INCLUDE_DIRECTORIES ${${include_dir}})
  endif()
endfunction()

# Not through oneDNN's own package file: Debian's insists on OpenCL, which dnnl_sgemm does not need.
function(gradus_find_onednn)
  find_library(GRADUS_ONEDNN_LIBRARY dnnl)
  find_path(GRADUS_ONEDNN_INCLUDE_DIR dnnl.h)
  mark_as_advanced(GRADUS_ONEDNN_LIBRARY GRADUS_ONEDNN_INCLUDE_DIR)
  gradus_backend(oneDNN GRADUS_ONEDNN_LIBRARY GRADUS_ONEDNN_INCLUDE_DIR)
endfunction()

# Debian's static serial build first: Gradus splits products itself, and no other OpenBLAS can take its place.
function(gradus_find_cblas)
  find_library(GRADUS_CBLAS_LIBRARY NAMES libopenblas.a openblas NAMES_PER_DIR PATH_SUFFIXES openblas-serial)
  find_path(GRADUS_CBLAS_INCLUDE_DIR cblas.h PATH_SUFFIXES openblas-serial openblas openblas-pthread)
  mark_as_advanced(GRADUS_CBLAS_LIBRARY GRADUS_CBLAS_INCLUDE_DIR)
  gradus_backend(CBLAS GRADUS_CBLAS_LIBRARY GRADUS_CBLAS_INCLUDE_DIR)
endfunction()

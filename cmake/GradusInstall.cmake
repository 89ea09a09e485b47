include(CMakePackageConfigHelpers)
set(config_dir ${CMAKE_INSTALL_LIBDIR}/cmake/gradus)

install(TARGETS gradus gradus_autograd gradus_nn gradus_optim EXPORT gradus)
install(EXPORT gradus NAMESPACE gradus:: DESTINATION ${config_dir} FILE gradusTargets.cmake)
install(FILES gradus.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/gradus)
install(DIRECTORY autograd nn optim DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/gradus FILES_MATCHING PATTERN "*.h")

configure_package_config_file(cmake/gradusConfig.cmake.in gradusConfig.cmake INSTALL_DESTINATION ${config_dir})
write_basic_package_version_file(gradusConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/gradusConfig.cmake ${PROJECT_BINARY_DIR}/gradusConfigVersion.cmake
              DESTINATION ${config_dir})

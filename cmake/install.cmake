# What `cmake --install` puts in place: the shared library, its public headers, the command line and
# the files that find_package(tintype) reads. tests/install builds a consumer from an installed copy.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(TT_PACKAGE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/tintype)

install(TARGETS tintype EXPORT tintypeTargets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/tintype DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT tintypeTargets NAMESPACE tintype:: DESTINATION ${TT_PACKAGE_DIR})

configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/tintypeConfig.cmake.in
                              ${PROJECT_BINARY_DIR}/tintypeConfig.cmake
                              INSTALL_DESTINATION ${TT_PACKAGE_DIR})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/tintypeConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/tintypeConfig.cmake
              ${PROJECT_BINARY_DIR}/tintypeConfigVersion.cmake DESTINATION ${TT_PACKAGE_DIR})

# The program finds its library wherever the prefix is moved to.
file(RELATIVE_PATH TT_LIB_FROM_BIN ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})
set_target_properties(tintype_cli PROPERTIES INSTALL_RPATH "$ORIGIN/${TT_LIB_FROM_BIN}")
install(TARGETS tintype_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})

install(FILES ${PROJECT_SOURCE_DIR}/LICENSE ${PROJECT_SOURCE_DIR}/THIRD_PARTY_NOTICES.md
        DESTINATION ${CMAKE_INSTALL_DOCDIR})

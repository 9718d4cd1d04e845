# Install rules, the CMake package, the pkg-config file and the Debian package.
#
# Component "formats" is what a user of the headers needs and can be installed without building
# anything; component "sim" is the library of tensors, quantizers and products; component "program"
# is the fp4lab command.

include(CMakePackageConfigHelpers)

set(fp4lab_cmake_dir "${CMAKE_INSTALL_LIBDIR}/cmake/fp4lab")
set(fp4lab_pkgconfig_dir "${CMAKE_INSTALL_LIBDIR}/pkgconfig")

install(TARGETS fp4lab_formats EXPORT fp4lab
  FILE_SET HEADERS DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/fp4lab" COMPONENT formats)
install(EXPORT fp4lab NAMESPACE fp4lab:: FILE fp4labTargets.cmake
  DESTINATION "${fp4lab_cmake_dir}" COMPONENT formats)

if(TARGET fp4lab_sim)
  install(TARGETS fp4lab_sim EXPORT fp4labSim
    ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT sim)
  install(DIRECTORY "${PROJECT_SOURCE_DIR}/sim" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/fp4lab"
    COMPONENT sim FILES_MATCHING PATTERN "*.h"
    PATTERN "simd" EXCLUDE)  # the kernels' own headers
  install(EXPORT fp4labSim NAMESPACE fp4lab:: FILE fp4labSimTargets.cmake
    DESTINATION "${fp4lab_cmake_dir}" COMPONENT sim)
endif()

configure_package_config_file(cmake/fp4labConfig.cmake.in
  "${PROJECT_BINARY_DIR}/package/fp4labConfig.cmake"
  INSTALL_DESTINATION "${fp4lab_cmake_dir}"
  NO_SET_AND_CHECK_MACRO)
# Until 1.0 a minor version may change an interface.
write_basic_package_version_file("${PROJECT_BINARY_DIR}/package/fp4labConfigVersion.cmake"
  COMPATIBILITY SameMinorVersion)
install(FILES
  "${PROJECT_BINARY_DIR}/package/fp4labConfig.cmake"
  "${PROJECT_BINARY_DIR}/package/fp4labConfigVersion.cmake"
  DESTINATION "${fp4lab_cmake_dir}" COMPONENT formats)

# The .pc file finds its prefix from its own place, so that an installed tree can be moved.
file(RELATIVE_PATH fp4lab_pc_to_prefix "/prefix/${fp4lab_pkgconfig_dir}" "/prefix")
string(REGEX REPLACE "/$" "" fp4lab_pc_to_prefix "${fp4lab_pc_to_prefix}")
configure_file(cmake/fp4lab.pc.in "${PROJECT_BINARY_DIR}/package/fp4lab.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/package/fp4lab.pc"
  DESTINATION "${fp4lab_pkgconfig_dir}" COMPONENT formats)

if(TARGET fp4lab)
  install(TARGETS fp4lab RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}" COMPONENT program)
  # The Python package that fp4lab plot and fp4lab report run.
  install(DIRECTORY "${PROJECT_SOURCE_DIR}/analysis/fp4lab_analysis"
    DESTINATION "${CMAKE_INSTALL_DATADIR}/fp4lab/analysis" COMPONENT program
    PATTERN "__pycache__" EXCLUDE)
endif()

install(FILES "${PROJECT_SOURCE_DIR}/README.md"
  DESTINATION "${CMAKE_INSTALL_DOCDIR}" COMPONENT formats)
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" RENAME copyright
  DESTINATION "${CMAKE_INSTALL_DOCDIR}" COMPONENT formats)

if(PROJECT_IS_TOP_LEVEL)
  set(CPACK_GENERATOR DEB)
  set(CPACK_PACKAGE_NAME fp4lab)
  set(CPACK_PACKAGE_CONTACT "fp4lab maintainers <maintainers@fp4lab.invalid>")
  set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
  set(CPACK_PACKAGE_DESCRIPTION
    "Every 4-bit number format, rounding rule and block scale to the bit: the fp4lab command and the
 header-only C++20 library behind it, for host and CUDA code.")
  set(CPACK_PACKAGE_DIRECTORY "${PROJECT_BINARY_DIR}/package")
  set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
  set(CPACK_STRIP_FILES ON)
  set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
  set(CPACK_DEBIAN_PACKAGE_SECTION science)
  set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
  include(CPack)
endif()

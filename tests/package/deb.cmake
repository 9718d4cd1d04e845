# Makes the .deb of a build, unpacks it into a folder and checks what a user of it would get.

cmake_minimum_required(VERSION 3.25)

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE result OUTPUT_VARIABLE text ERROR_VARIABLE text)
  if(NOT result EQUAL 0)
    string(REPLACE ";" " " command "${ARGN}")
    message(FATAL_ERROR "failed (${result}): ${command}\n${text}")
  endif()
  set(run_output "${text}" PARENT_SCOPE)
endfunction()

file(REMOVE_RECURSE "${WORK}")
run("${CPACK}" --config "${BUILD}/CPackConfig.cmake" -G DEB -B "${WORK}")
file(GLOB packages "${WORK}/*.deb")
list(LENGTH packages count)
if(NOT count EQUAL 1)
  message(FATAL_ERROR "expected one package, found: ${packages}")
endif()

run("${DPKG_DEB}" --field "${packages}")
foreach(wanted IN ITEMS "Package: fp4lab\n" "Version: ${VERSION}" "Depends: [^\n]*libc6" "libhdf5")
  if(NOT run_output MATCHES "${wanted}")
    message(FATAL_ERROR "the package's control file lacks '${wanted}':\n${run_output}")
  endif()
endforeach()

set(root "${WORK}/root")
run("${DPKG_DEB}" --extract "${packages}" "${root}")
set(files
  usr/bin/fp4lab
  usr/lib/cmake/fp4lab/fp4labConfig.cmake
  usr/lib/cmake/fp4lab/fp4labConfigVersion.cmake
  usr/lib/cmake/fp4lab/fp4labTargets.cmake
  usr/lib/cmake/fp4lab/fp4labSimTargets.cmake
  usr/include/fp4lab/sim/quantize.h
  usr/lib/pkgconfig/fp4lab.pc
  usr/share/doc/fp4lab/README.md
  usr/share/doc/fp4lab/copyright)
file(GLOB headers RELATIVE "${SOURCE}" "${SOURCE}/formats/*.h")
foreach(header IN LISTS headers)
  list(APPEND files "usr/include/fp4lab/${header}")
endforeach()
foreach(file IN LISTS files)
  if(NOT EXISTS "${root}/${file}")
    message(FATAL_ERROR "the package lacks ${file}")
  endif()
endforeach()

# The packaged program must not need the build folder: it gives the build's own answer.
run("${root}/usr/bin/fp4lab" formats e2m1)
set(packaged "${run_output}")
run("${BUILD}/fp4lab" formats e2m1)
if(NOT packaged STREQUAL run_output OR packaged STREQUAL "")
  message(FATAL_ERROR "the packaged program answers differently:\n${packaged}\n--- and not\n${run_output}")
endif()

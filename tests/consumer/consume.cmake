# One step of the consumer tests; CMakeLists.txt beside this file hands in STEP and the paths.

cmake_minimum_required(VERSION 3.25)

set(prefix "${WORK}/prefix")
set(project "${SOURCE}/tests/consumer/project")

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE result OUTPUT_VARIABLE text ERROR_VARIABLE text)
  if(NOT result EQUAL 0)
    string(REPLACE ";" " " command "${ARGN}")
    message(FATAL_ERROR "failed (${result}): ${command}\n${text}")
  endif()
  set(run_output "${text}" PARENT_SCOPE)
endfunction()

function(require_text what text wanted)
  string(FIND "${text}" "${wanted}" at)
  if(at EQUAL -1)
    message(FATAL_ERROR "${what} lacks '${wanted}':\n${text}")
  endif()
endfunction()

# Configures, builds and runs the project in a fresh folder; checks a flag in its compile commands,
# and that it was not compiled against the source tree by accident.
function(build_and_run program flag)
  set(build "${WORK}/${STEP}")
  file(REMOVE_RECURSE "${build}")
  run("${CMAKE_COMMAND}" -S "${project}" -B "${build}" -G "${GENERATOR}"
      "-DCMAKE_MAKE_PROGRAM=${MAKE_PROGRAM}" "-DCMAKE_CXX_COMPILER=${CXX}"
      "-DCMAKE_PREFIX_PATH=${prefix}" -DCMAKE_FIND_USE_PACKAGE_REGISTRY=OFF
      -DCMAKE_EXPORT_COMPILE_COMMANDS=ON "-DWANTED_VERSION=${VERSION}" ${ARGN})
  run("${CMAKE_COMMAND}" --build "${build}")
  if(EXISTS "${build}/compile_commands.json")
    file(READ "${build}/compile_commands.json" commands)
    require_text("the compile command of ${program}" "${commands}" "${flag}")
    foreach(way IN ITEMS "-I${SOURCE} " "-isystem ${SOURCE} " "-isystem=${SOURCE} ")
      string(FIND "${commands}" "${way}" at)
      if(NOT at EQUAL -1 AND NOT STEP STREQUAL "add_subdirectory")
        message(FATAL_ERROR "${program} was compiled against the source tree:\n${commands}")
      endif()
    endforeach()
  endif()
  run("${build}/${program}")
  message(STATUS "${run_output}")
endfunction()

if(STEP STREQUAL "install")
  file(REMOVE_RECURSE "${WORK}")
  run("${CMAKE_COMMAND}" --install "${BUILD}" --prefix "${WORK}/first_place" --component formats)
  file(RENAME "${WORK}/first_place" "${prefix}")  # nothing in it may know where it was
  file(GLOB headers RELATIVE "${SOURCE}" "${SOURCE}/formats/*.h")
  if(NOT "formats/fp4lab.h" IN_LIST headers)
    message(FATAL_ERROR "formats/fp4lab.h does not exist")
  endif()
  foreach(header IN LISTS headers)
    if(NOT EXISTS "${prefix}/include/fp4lab/${header}")
      message(FATAL_ERROR "not installed: ${header}")
    endif()
  endforeach()
  file(GLOB_RECURSE installed RELATIVE "${prefix}" "${prefix}/*")
  foreach(file IN LISTS installed)
    file(STRINGS "${prefix}/${file}" leaks REGEX "first_place")
    if(leaks)
      message(FATAL_ERROR "${file} holds the path that it was installed to: ${leaks}")
    endif()
  endforeach()

elseif(STEP STREQUAL "find_package")
  build_and_run(consumer "-ffp-contract=off")

elseif(STEP STREQUAL "sim")
  set(prefix "${WORK}/prefix_sim")
  foreach(component IN ITEMS formats sim)
    run("${CMAKE_COMMAND}" --install "${BUILD}" --prefix "${prefix}" --component ${component})
  endforeach()
  file(GLOB_RECURSE headers RELATIVE "${SOURCE}" "${SOURCE}/sim/*.h")
  list(FILTER headers EXCLUDE REGEX "^sim/simd/")
  foreach(header IN LISTS headers)
    if(NOT EXISTS "${prefix}/include/fp4lab/${header}")
      message(FATAL_ERROR "not installed: ${header}")
    endif()
  endforeach()
  build_and_run(consumer_sim "-ffp-contract=off" -DCONSUMER_SIM=ON)

elseif(STEP STREQUAL "add_subdirectory")
  build_and_run(consumer "-ffp-contract=off" "-DFP4LAB_SOURCE=${SOURCE}")
  # As a guest fp4lab keeps its tests, benchmarks and install rules to itself.
  file(STRINGS "${WORK}/${STEP}/CMakeCache.txt" switched_on
    REGEX "^FP4LAB_(BUILD_TESTS|BUILD_BENCH|INSTALL):BOOL=ON")
  if(switched_on)
    message(FATAL_ERROR "on by default in somebody else's project: ${switched_on}")
  endif()

elseif(STEP STREQUAL "cuda")
  build_and_run(consumer_cuda "--fmad=false" -DCONSUMER_CUDA=ON "-DCMAKE_CUDA_COMPILER=${NVCC}"
    "-DCMAKE_CUDA_HOST_COMPILER=${CXX}" -DCMAKE_CUDA_ARCHITECTURES=90)

elseif(STEP STREQUAL "pkg_config")
  file(GLOB_RECURSE pc "${prefix}/*/fp4lab.pc")
  cmake_path(GET pc PARENT_PATH pc_dir)
  set(ENV{PKG_CONFIG_PATH} "${pc_dir}")
  run("${PKG_CONFIG}" --exact-version=${VERSION} fp4lab)
  run("${PKG_CONFIG}" --cflags --libs fp4lab)
  require_text("pkg-config --cflags" "${run_output}" "-ffp-contract=off")
  separate_arguments(flags UNIX_COMMAND "${run_output}")
  file(MAKE_DIRECTORY "${WORK}/pkg_config")
  run("${CXX}" -std=c++20 -O2 ${flags} "${project}/main.cpp" "${project}/second_unit.cpp"
      -o "${WORK}/pkg_config/consumer")
  run("${WORK}/pkg_config/consumer")
  message(STATUS "${run_output}")

else()
  message(FATAL_ERROR "unknown STEP '${STEP}'")
endif()

# cmake -DWORK=<empty folder> -P self_test.cmake
# Runs check.cmake on a tree made here: the good lines must pass, each bad line must be named.

cmake_minimum_required(VERSION 3.25)

set(checker "${CMAKE_CURRENT_LIST_DIR}/check.cmake")

function(run_checker out_result out_text)
  execute_process(COMMAND "${CMAKE_COMMAND}" "-DROOT=${WORK}" -P "${checker}"
    RESULT_VARIABLE result OUTPUT_VARIABLE text ERROR_VARIABLE text)
  set(${out_result} "${result}" PARENT_SCOPE)
  set(${out_text} "${text}" PARENT_SCOPE)
endfunction()

function(tree)
  file(REMOVE_RECURSE "${WORK}")
  file(WRITE "${WORK}/formats/good.h" "#include <bit>\n#include <cstdint>\n#include \"formats/a.h\"\n")
  file(WRITE "${WORK}/sim/good.cpp"
    "#include \"formats/a.h\"\n#include \"sim/b.h\"\n#include <Eigen/Dense>\n"
    "#include \"hwy/foreach_target.h\"\n#include HWY_FILE\n")
  file(WRITE "${WORK}/cuda/good.cu" "#include \"cuda/a.h\"\n#include \"sim/b.h\"\n#include <cuda_fp4.h>\n")
  file(WRITE "${WORK}/data/good.cpp" "#include \"data/error.h\"\n#include \"formats/a.h\"\n#include <hdf5.h>\n")
  file(WRITE "${WORK}/experiments/good.cpp"
    "#include \"cuda/a.h\"\n#include \"data/a.h\"\n#include \"experiments/a.h\"\n#include <CLI/CLI.hpp>\n"
    "#include \"fp4lab_commit.h\"\n")
  file(WRITE "${WORK}/tests/oracle/good.cpp"
    "#include \"tests/oracle/exact.h\"\n#include <boost/multiprecision/cpp_int.hpp>\n"
    "#include <gtest/gtest.h>\n#include <vector>\n")
  file(WRITE "${WORK}/tests/unit/free.cpp" "#include \"experiments/a.h\"\n")
endfunction()

tree()
run_checker(result text)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "a clean tree was refused:\n${text}")
endif()

# file | line
set(bad
  "formats/up.h|#include \"sim/tensor.h\""
  "formats/angle_up.h|#include <sim/tensor.h>"
  "formats/spaced.h|  #  include \"data/error.h\""
  "formats/foreign.h|#include <fmt/core.h>"
  "formats/c_header.h|#include <math.h>"
  "formats/macro.h|#include SOME_HEADER"
  "formats/sibling.h|#include \"rounding.h\""
  "formats/deep/relative.h|#include \"../block.h\""
  "formats/generated.h|#include \"fp4lab_commit.h\""
  "sim/up.cpp|#include \"cuda/kernel.h\""
  "sim/sideways.h|#include \"data/npy.h\""
  "cuda/up.cu|#include \"experiments/run.h\""
  "cuda/header.cuh|#include \"data/npy.h\""
  "data/sideways.cpp|#include \"sim/tensor.h\""
  "data/tests.cpp|#include \"tests/oracle/exact.h\""
  "experiments/tests.cpp|#include \"tests/unit/a.h\""
  "tests/oracle/formats.cpp|#include \"formats/a.h\""
  "tests/oracle/other.cpp|#include \"tests/unit/a.h\""
  "tests/oracle/foreign.cpp|#include <Eigen/Dense>")
foreach(case IN LISTS bad)
  string(REPLACE "|" ";" case "${case}")
  list(GET case 0 path)
  list(GET case 1 line)
  tree()
  file(WRITE "${WORK}/${path}" "#include <vector>\n${line}\n")
  run_checker(result text)
  string(STRIP "${line}" line)
  string(FIND "${text}" "${path}: ${line}" at)
  if(result EQUAL 0 OR at EQUAL -1 OR NOT text MATCHES "1 includes point the wrong way")
    message(FATAL_ERROR "not refused as it should be: ${path}: ${line}\n${text}")
  endif()
endforeach()

file(REMOVE_RECURSE "${WORK}")
run_checker(result text)
if(result EQUAL 0)
  message(FATAL_ERROR "a tree without sources was accepted")
endif()

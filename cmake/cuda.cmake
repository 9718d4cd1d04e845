# Decides once whether the CUDA parts are built: sets FP4LAB_HAVE_CUDA and says so in one line.

set(FP4LAB_HAVE_CUDA OFF)
if(NOT FP4LAB_CUDA MATCHES "^(AUTO|ON|OFF)$")
  message(FATAL_ERROR "FP4LAB_CUDA is '${FP4LAB_CUDA}'; it must be AUTO, ON or OFF.")
elseif(FP4LAB_CUDA STREQUAL "OFF")
  message(STATUS "fp4lab: CUDA parts switched off (FP4LAB_CUDA=OFF)")
elseif(FP4LAB_CUDA STREQUAL "AUTO" AND NOT EXISTS "${PROJECT_SOURCE_DIR}/cuda/CMakeLists.txt")
  # Looking for nvcc costs seconds; without a cuda/ folder nothing would use it.
  message(STATUS "fp4lab: no CUDA parts in this source tree")
else()
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
      set(CMAKE_CUDA_ARCHITECTURES 90 CACHE STRING "GPU architectures to compile for")
    endif()
    enable_language(CUDA)
    set(FP4LAB_HAVE_CUDA ON)
    message(STATUS "fp4lab: CUDA parts on, ${CMAKE_CUDA_COMPILER} ${CMAKE_CUDA_COMPILER_VERSION}, "
                   "architectures ${CMAKE_CUDA_ARCHITECTURES}")
  elseif(FP4LAB_CUDA STREQUAL "ON")
    message(FATAL_ERROR "FP4LAB_CUDA=ON but no CUDA compiler works here: put nvcc on PATH or set "
                        "CMAKE_CUDA_COMPILER.")
  else()
    message(STATUS "fp4lab: CUDA parts skipped, no nvcc found")
  endif()
endif()

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
      # H100; B200; RTX 50. Those that this nvcc is too old for are left out, and said to be.
      set(FP4LAB_CUDA_TOO_NEW "")
      set(architectures "")
      foreach(architecture IN ITEMS 90 100a 120a)
        execute_process(
          COMMAND "${CMAKE_CUDA_COMPILER}" --dryrun -c -x cu /dev/null -o /dev/null
                  "--generate-code=arch=compute_${architecture},code=sm_${architecture}"
          RESULT_VARIABLE status OUTPUT_QUIET ERROR_QUIET)
        if(NOT status EQUAL 0)
          list(APPEND FP4LAB_CUDA_TOO_NEW "${architecture}")
        elseif(architecture MATCHES "a$")
          list(APPEND architectures "${architecture}-real")  # their intermediate code runs nowhere else
        else()
          list(APPEND architectures "${architecture}")
        endif()
      endforeach()
      set(CMAKE_CUDA_ARCHITECTURES "${architectures}" CACHE STRING "GPU architectures to compile for")
      set(FP4LAB_CUDA_TOO_NEW "${FP4LAB_CUDA_TOO_NEW}" CACHE INTERNAL
          "Architectures that nvcc does not know")
    endif()
    enable_language(CUDA)
    if("cuda_std_20" IN_LIST CMAKE_CUDA_COMPILE_FEATURES)
      set(CMAKE_CUDA_STANDARD 20)
      set(CMAKE_CUDA_STANDARD_REQUIRED ON)
      set(CMAKE_CUDA_EXTENSIONS OFF)
    else()  # CMake 3.25.1 knows of no C++20 in nvcc: tell it
      set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
      set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
      set(CMAKE_CUDA_STANDARD 20)
      set(CMAKE_CUDA_EXTENSIONS OFF)
    endif()
    set(FP4LAB_HAVE_CUDA ON)
    message(STATUS "fp4lab: CUDA parts on, ${CMAKE_CUDA_COMPILER} ${CMAKE_CUDA_COMPILER_VERSION}, "
                   "architectures ${CMAKE_CUDA_ARCHITECTURES}")
    if(FP4LAB_CUDA_TOO_NEW)
      message(STATUS "fp4lab: nvcc ${CMAKE_CUDA_COMPILER_VERSION} is too old for ${FP4LAB_CUDA_TOO_NEW}: "
                     "no device code for these")
    endif()
  elseif(FP4LAB_CUDA STREQUAL "ON")
    message(FATAL_ERROR "FP4LAB_CUDA=ON but no CUDA compiler works here: put nvcc on PATH or set "
                        "CMAKE_CUDA_COMPILER.")
  else()
    message(STATUS "fp4lab: CUDA parts skipped, no nvcc found")
  endif()
endif()

# Compiler settings shared by every folder. They are directory properties of this project, so a
# parent project that adds fp4lab as a sub-directory keeps its own.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

get_property(fp4lab_multi_config GLOBAL PROPERTY GENERATOR_IS_MULTI_CONFIG)
if(PROJECT_IS_TOP_LEVEL AND NOT fp4lab_multi_config AND NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()

# Every operation rounds once. Compilers fuse a*b+c in C++ when the target has FMA unless told not
# to, and then the result depends on the machine it was compiled for.
add_compile_options("$<$<COMPILE_LANG_AND_ID:CXX,GNU,Clang,AppleClang>:-ffp-contract=off>")
add_compile_options("$<$<COMPILE_LANG_AND_ID:CXX,GNU,Clang,AppleClang>:-Wall;-Wextra;-Wpedantic>")

# Debian 12 and Ubuntu 24.04 have HDF5 1.10; newer releases keep its C interface under this name.
add_compile_definitions(H5_USE_110_API)

if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_GREATER_EQUAL 13)
  # GCC 13 and 14 take any function that is given a temporary for one that returns a part of it.
  add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:-Wno-dangling-reference>")
endif()

if(CMAKE_COMPILE_WARNING_AS_ERROR AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # These come from the optimizer's view of inlined code, third-party headers included, and differ
  # from one GCC release to the next: worth reading, not worth failing for.
  foreach(warning IN ITEMS maybe-uninitialized array-bounds stringop-overflow stringop-overread restrict)
    add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:-Wno-error=${warning}>")
  endforeach()
endif()

if("${CMAKE_CXX_FLAGS} ${CMAKE_CXX_FLAGS_RELEASE}" MATCHES
   "-ffast-math|-Ofast|-funsafe-math-optimizations|-fassociative-math|-ffinite-math-only")
  message(FATAL_ERROR
    "CMAKE_CXX_FLAGS contains '${CMAKE_MATCH_0}': fp4lab's results are defined to the last bit, "
    "which that option breaks. Remove it.")
endif()

if(FP4LAB_SANITIZE)
  add_compile_options(
    "$<$<COMPILE_LANGUAGE:C,CXX>:-fsanitize=${FP4LAB_SANITIZE};-fno-sanitize-recover=all;-fno-omit-frame-pointer>")
  add_link_options("-fsanitize=${FP4LAB_SANITIZE}")
  if(FP4LAB_SANITIZE MATCHES "undefined")
    # Not part of "undefined": a float that does not fit its integer type.
    add_compile_options("$<$<COMPILE_LANGUAGE:C,CXX>:-fsanitize=float-cast-overflow>")
    add_link_options("-fsanitize=float-cast-overflow")
  endif()
endif()

if(PROJECT_IS_TOP_LEVEL)
  find_program(FP4LAB_CCACHE ccache DOC "Compiler cache; used when present")
  mark_as_advanced(FP4LAB_CCACHE)
  if(FP4LAB_CCACHE)
    foreach(lang IN ITEMS C CXX CUDA)
      if(NOT DEFINED CMAKE_${lang}_COMPILER_LAUNCHER)
        set(CMAKE_${lang}_COMPILER_LAUNCHER "${FP4LAB_CCACHE}")
      endif()
    endforeach()
  endif()
endif()

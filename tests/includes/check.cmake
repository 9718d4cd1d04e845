# cmake -DROOT=<source tree> -P check.cmake
#
# Reads every #include of the house and fails, naming file and line, when one
#   - names a folder that its own folder may not know (may_include below),
#   - is quoted but not written from the root of the tree ("quantize.h", "../formats/block.h"),
#   - brings a foreign library into formats/ (standard library only) or into tests/oracle/
#     (standard library, Boost and GoogleTest only).

cmake_minimum_required(VERSION 3.25)

set(house formats sim cuda data experiments tests)

set(may_include_formats formats)
set(may_include_sim formats sim)
set(may_include_cuda formats sim cuda)
set(may_include_data formats data)
set(may_include_experiments formats sim cuda data experiments)
set(may_include_tests/oracle tests/oracle)

# Angle includes: a bare lower-case word is a standard header; the others are listed by folder.
set(std_header "[a-z_0-9]+")
set(foreign_formats "")
set(foreign_tests/oracle "(boost|gtest)/.*")

set(offences 0)
set(files_read 0)
set(includes_read 0)

function(offence where line reason)
  message("${where}: ${line}\n    ${reason}")
  math(EXPR n "${offences} + 1")
  set(offences ${n} PARENT_SCOPE)
endfunction()

foreach(folder IN ITEMS formats sim cuda data experiments tests/oracle)
  set(files "")
  foreach(ext IN ITEMS h hpp hh cuh inc c cc cpp cxx cu)
    file(GLOB_RECURSE found "${ROOT}/${folder}/*.${ext}")
    list(APPEND files ${found})
  endforeach()
  list(SORT files)
  foreach(file IN LISTS files)
    math(EXPR files_read "${files_read} + 1")
    file(RELATIVE_PATH where "${ROOT}" "${file}")
    file(STRINGS "${file}" lines REGEX "^[ \t]*#[ \t]*(include|include_next|import)[^a-zA-Z_]")
    foreach(line IN LISTS lines)
      math(EXPR includes_read "${includes_read} + 1")
      string(STRIP "${line}" line)
      if(line MATCHES "^#[ \t]*[a-z_]+[ \t]*\"([^\"]*)\"")
        set(quoted TRUE)
        set(target "${CMAKE_MATCH_1}")
      elseif(line MATCHES "^#[ \t]*[a-z_]+[ \t]*<([^>]*)>")
        set(quoted FALSE)
        set(target "${CMAKE_MATCH_1}")
      else()
        if(folder MATCHES "^(formats|tests/oracle)$")
          offence("${where}" "${line}" "an include through a macro cannot be checked")
        endif()
        continue()
      endif()

      if(target MATCHES "(^|/)\\.\\.?(/|$)")
        offence("${where}" "${line}" "relative path; write it from the root of the tree")
        continue()
      endif()

      string(REGEX MATCH "^[^/]*" top "${target}")
      if(target MATCHES "/" AND top IN_LIST house)
        set(allowed FALSE)
        foreach(lower IN LISTS may_include_${folder})
          string(FIND "${target}" "${lower}/" at)
          if(at EQUAL 0)
            set(allowed TRUE)
          endif()
        endforeach()
        if(NOT allowed)
          string(REPLACE ";" ", " list "${may_include_${folder}}")
          offence("${where}" "${line}" "${folder}/ may include only from: ${list}")
        endif()
      elseif(quoted AND target MATCHES "^fp4lab_[a-z_]+\\.h$"
             AND NOT folder MATCHES "^(formats|tests/oracle)$"
             AND NOT EXISTS "${ROOT}/${folder}/${target}")
        # A header that the build generates: it has no place in the tree.
      elseif(quoted AND NOT (folder STREQUAL "sim" AND top STREQUAL "hwy"))
        # Highway re-includes files by quoted name, hence its exception.
        offence("${where}" "${line}" "quoted, but not written from the root of the tree")
      elseif(DEFINED foreign_${folder} AND NOT target MATCHES "^${std_header}$")
        if(foreign_${folder} STREQUAL "" OR NOT target MATCHES "^${foreign_${folder}}$")
          offence("${where}" "${line}" "${folder}/ must not depend on this library")
        endif()
      endif()
    endforeach()
  endforeach()
endforeach()

if(includes_read EQUAL 0)
  message(FATAL_ERROR "no #include found under '${ROOT}': is ROOT the source tree?")
elseif(offences GREATER 0)
  message(FATAL_ERROR "${offences} includes point the wrong way")
endif()
message(STATUS "${includes_read} includes in ${files_read} files, all point down")

# cmake -DRECIPES=... -DPRESETS=... -DOUTPUT=... -P embed.cmake
#
# Writes a C++ source with every .toml of the two folders as a string, with its `title` and `source`
# lines taken out for lists.

cmake_minimum_required(VERSION 3.25)

set(text "#include \"experiments/config/config.h\"\n\nnamespace fp4lab::config {\n")
foreach(kind IN ITEMS recipes presets)
  string(TOUPPER "${kind}" variable)
  string(APPEND text "\nconst std::vector<Fragment>& builtin_${kind}() {\n"
                     "  static const std::vector<Fragment> fragments = {\n")
  file(GLOB files "${${variable}}/*.toml")
  list(SORT files)
  foreach(file IN LISTS files)
    get_filename_component(name "${file}" NAME_WE)
    file(READ "${file}" content)
    foreach(field IN ITEMS title source)
      set(${field} "")
      if(content MATCHES "(^|\n)${field} = \"([^\"]*)\"")
        set(${field} "${CMAKE_MATCH_2}")
      endif()
    endforeach()
    string(APPEND text "      {\"${name}\", R\"toml(${title})toml\", R\"toml(${source})toml\",\n"
                       "       R\"toml(${content})toml\"},\n")
  endforeach()
  string(APPEND text "  };\n  return fragments;\n}\n")
endforeach()
string(APPEND text "\n}  // namespace fp4lab::config\n")
file(WRITE "${OUTPUT}" "${text}")

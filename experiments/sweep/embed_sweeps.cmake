# cmake -DSWEEPS=... -DOUTPUT=... -P embed_sweeps.cmake
#
# Writes a C++ source with every .toml of the folder as a built-in sweep.

cmake_minimum_required(VERSION 3.25)

set(text "#include \"experiments/sweep/plan.h\"\n\nnamespace fp4lab::sweep {\n\n")
string(APPEND text "const std::vector<BuiltinSweep>& builtin_sweeps() {\n"
                   "  static const std::vector<BuiltinSweep> sweeps = {\n")
file(GLOB files "${SWEEPS}/*.toml")
list(SORT files)
foreach(file IN LISTS files)
  get_filename_component(name "${file}" NAME_WE)
  file(READ "${file}" content)
  string(APPEND text "      {\"${name}\", R\"toml(${content})toml\"},\n")
endforeach()
string(APPEND text "  };\n  return sweeps;\n}\n\n}  // namespace fp4lab::sweep\n")
file(WRITE "${OUTPUT}" "${text}")

# tt_embed_folder(TARGET FOLDER HEADER FUNCTION TYPE): every file of FOLDER as bytes in the program,
# and a function that lists them. Assembler and not arrays: a compiler takes seconds over those.
# Files that are added are found at the next configure, which CONFIGURE_DEPENDS asks for.
function(tt_embed_folder target folder header function type)
  file(GLOB names RELATIVE ${folder} CONFIGURE_DEPENDS ${folder}/*)
  set(assembly "    .section .rodata\n")
  set(symbols "")
  set(rows "")
  set(index 0)
  set(files "")
  foreach(name ${names})
    if(IS_DIRECTORY ${folder}/${name} OR name MATCHES "\\.(md|txt)$" OR name STREQUAL "CMakeLists.txt")
      continue()
    endif()
    set(symbol tt_${target}_${index})
    string(APPEND assembly "    .balign 16\n    .globl ${symbol}_begin\n    .hidden ${symbol}_begin\n"
                           "${symbol}_begin:\n    .incbin \"${folder}/${name}\"\n"
                           "    .globl ${symbol}_end\n    .hidden ${symbol}_end\n${symbol}_end:\n")
    string(APPEND symbols "extern const char ${symbol}_begin[], ${symbol}_end[];\n")
    string(APPEND rows "      {\"${name}\", {${symbol}_begin, static_cast<size_t>(${symbol}_end - ${symbol}_begin)}},\n")
    list(APPEND files ${folder}/${name})
    math(EXPR index "${index} + 1")
  endforeach()
  string(APPEND assembly "    .section .note.GNU-stack,\"\",%progbits\n")
  set(out ${CMAKE_CURRENT_BINARY_DIR}/${target})
  file(CONFIGURE OUTPUT ${out}.S CONTENT "${assembly}" @ONLY)
  file(CONFIGURE OUTPUT ${out}.cpp CONTENT "#include \"${header}\"\n\nextern \"C\" {\n${symbols}}\n
namespace tintype::http {\n
const std::vector<${type}>& ${function}() {
  static const std::vector<${type}> kFiles = {\n${rows}  };
  return kFiles;
}\n
}  // namespace tintype::http\n" @ONLY)
  set_property(SOURCE ${out}.S PROPERTY OBJECT_DEPENDS ${files})
  add_library(${target} OBJECT ${out}.S ${out}.cpp)
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/src)
endfunction()

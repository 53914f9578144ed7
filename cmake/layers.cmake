# tt_layer(NAME SOURCES ... DEPENDS ... LIBRARIES ...): one folder, one static target. DEPENDS names
# layers (checked against the #includes by tests/layers), LIBRARIES names packages.
add_library(tintype_options INTERFACE)
target_compile_options(tintype_options INTERFACE -Wall -Wextra -Wshadow -Wnon-virtual-dtor
                       -Werror=switch $<$<BOOL:${TINTYPE_WERROR}>:-Werror>)
# GCC 12 sees overlapping copies in plain std::string concatenation (its bug 105651).
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(tintype_options INTERFACE -Wno-restrict)
endif()
if(TINTYPE_SANITIZE)
  target_compile_options(tintype_options INTERFACE -fsanitize=${TINTYPE_SANITIZE}
                         -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(tintype_options INTERFACE -fsanitize=${TINTYPE_SANITIZE})
endif()

function(tt_layer name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS;LIBRARIES" ${ARGN})
  add_library(tintype_${name} STATIC ${ARG_SOURCES})
  target_include_directories(tintype_${name} PUBLIC ${PROJECT_SOURCE_DIR}/src
                             ${PROJECT_SOURCE_DIR}/include)
  list(TRANSFORM ARG_DEPENDS PREPEND tintype_)
  target_link_libraries(tintype_${name} PUBLIC ${ARG_DEPENDS} PRIVATE tintype_options
                        ${ARG_LIBRARIES})
endfunction()

# tt_test(NAME SOURCES ... LIBRARIES ...): one GoogleTest program, one CTest entry per file of tests.
function(tt_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBRARIES" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  target_compile_definitions(${name} PRIVATE
                             TT_FIXTURES="${PROJECT_SOURCE_DIR}/tests/fixtures"
                             TT_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  target_link_libraries(${name} PRIVATE tintype_options ${ARG_LIBRARIES} GTest::gtest_main)
  add_test(NAME ${name} COMMAND ${name})
endfunction()

# Arguments: BUILD, SOURCE, WORK, CXX, CXX_FLAGS. See CMakeLists.txt here.
function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE code OUTPUT_VARIABLE text ERROR_VARIABLE text)
  if(NOT code EQUAL 0)
    string(REPLACE ";" " " command "${ARGN}")
    message(FATAL_ERROR "exit ${code}: ${command}\n${text}")
  endif()
  set(output "${text}" PARENT_SCOPE)
endfunction()

file(REMOVE_RECURSE ${WORK})
run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/prefix)

# Moved after installation: nothing in it may remember where it was.
file(RENAME ${WORK}/prefix ${WORK}/moved)

run(${CMAKE_COMMAND} -S ${SOURCE}/tests/install/consumer -B ${WORK}/consumer -G Ninja
    -D CMAKE_PREFIX_PATH=${WORK}/moved -D CMAKE_CXX_COMPILER=${CXX}
    "-DCMAKE_CXX_FLAGS=${CXX_FLAGS} -Wall -Wextra -Werror"
    -D EXAMPLE=${SOURCE}/examples/text_to_image.cpp)
run(${CMAKE_COMMAND} --build ${WORK}/consumer)

set(picture ${WORK}/apple.png)
run(${WORK}/consumer/consumer ${SOURCE}/models/tintype-emoji-128 "red apple" ${picture} 2)
file(READ ${picture} signature LIMIT 8 HEX)
if(NOT signature STREQUAL "89504e470d0a1a0a")
  message(FATAL_ERROR "${picture} must be a PNG, got bytes ${signature}")
endif()

run(${WORK}/moved/bin/tintype --version)
if(NOT output MATCHES "^tintype [0-9]+\\.[0-9]+\\.[0-9]+\n$")
  message(FATAL_ERROR "the installed program must say its version, got: ${output}")
endif()
foreach(file LICENSE THIRD_PARTY_NOTICES.md)
  file(GLOB_RECURSE found ${WORK}/moved/share/*/${file})
  if(NOT found)
    message(FATAL_ERROR "${file} must be installed")
  endif()
endforeach()

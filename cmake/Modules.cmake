# SPDX-License-Identifier: Apache-2.0
# defused_module(NAME SOURCES ... DEPENDS ... [PRIVATE ...]): one library target per module.
#
# A module sees only what it depends on: its headers are reached as "<module>/<header>" through a directory of its own in
# the build tree, so an include of a module that is not in DEPENDS does not compile (DESIGN.md section 3).

add_library(defused_options INTERFACE)
target_compile_options(defused_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wnon-virtual-dtor -Wold-style-cast
  -Woverloaded-virtual -Wformat=2 -fstack-protector-strong -fno-omit-frame-pointer)
target_compile_definitions(defused_options INTERFACE _GNU_SOURCE)
if(DEFUSED_WERROR)
  target_compile_options(defused_options INTERFACE -Werror)
endif()
# Assertions are long to optimise and quick to run: the tests themselves are compiled without, what they test is not.
set(test_program $<BOOL:$<TARGET_PROPERTY:DEFUSED_TEST>>)
target_compile_options(defused_options INTERFACE $<${test_program}:-O0> $<${test_program}:-g1>)
# Where sources are compiled as one the others' names are in sight, and gcc takes what is included for a header. Shadows of
# the program are found where it is compiled source by source (release), those of tests here.
set(unity $<BOOL:$<TARGET_PROPERTY:UNITY_BUILD>>)
target_compile_options(defused_options INTERFACE $<$<AND:${unity},$<NOT:${test_program}>>:-Wno-shadow>
                       $<$<AND:${unity},$<CXX_COMPILER_ID:GNU>>:-Wno-subobject-linkage>)
if(DEFUSED_SANITIZE)
  # UBSan looks at what is tested; of assertions it would double the size, and a third of the time goes there.
  # gcc's -Og compiles twice as fast as its -O1 and runs as fast; clang's -Og is its -O1.
  set(sanitizer_options "$<IF:$<CXX_COMPILER_ID:GNU>,-Og,-O1>;-g1")
  target_compile_definitions(defused_options INTERFACE DEFUSED_SANITIZED)
  target_compile_options(defused_options INTERFACE -fsanitize=${DEFUSED_SANITIZE} -fno-sanitize-recover=all
                         "$<IF:${test_program},-fno-sanitize=undefined,${sanitizer_options}>")
  target_link_options(defused_options INTERFACE -fsanitize=${DEFUSED_SANITIZE})
endif()

# defused_apart(SOURCE...): sources that share a name of their anonymous namespace with another source of their target. Ten
# sources are compiled as one in the tests, and in presets of which no program is shipped everywhere (not in debug): most of
# the time goes into headers and templates, which are then taken once. "redefinition of" in such a build only: add the source here.
function(defused_apart)
  set_source_files_properties(${ARGN} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
endfunction()

# Under sanitizers gcc 12 takes std::regex for uninitialized (GCC bug 105562).
function(defused_uses_regex source)
  if(DEFUSED_SANITIZE AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS -Wno-maybe-uninitialized)
  endif()
endfunction()

function(defused_module name)
  cmake_parse_arguments(ARG "" "PREFIX" "SOURCES;DEPENDS;PRIVATE" ${ARGN})
  set(prefix ${name})
  if(ARG_PREFIX)
    set(prefix ${ARG_PREFIX})
  endif()
  string(REPLACE "/" "_" target ${prefix})
  set(root ${CMAKE_BINARY_DIR}/modules/${target})
  cmake_path(GET prefix PARENT_PATH parent)
  file(MAKE_DIRECTORY ${root}/${parent})
  file(CREATE_LINK ${CMAKE_CURRENT_SOURCE_DIR} ${root}/${prefix} SYMBOLIC)
  add_library(${target} STATIC ${ARG_SOURCES})
  add_library(defused::${target} ALIAS ${target})
  target_include_directories(${target} PUBLIC ${root})
  target_link_libraries(${target} PUBLIC ${ARG_DEPENDS} PRIVATE ${ARG_PRIVATE} defused_options)
endfunction()

# defused_embed_text(TARGET FILE HEADER FUNCTION): compiles a text file into TARGET, as what FUNCTION of HEADER returns. No
# file is needed when the program runs.
function(defused_embed_text target file header function)
  set(output ${CMAKE_CURRENT_BINARY_DIR}/${function}.cc)
  add_custom_command(OUTPUT ${output} VERBATIM
    COMMAND ${CMAKE_COMMAND} -DINPUT=${file} -DOUTPUT=${output} -DHEADER=${header} -DFUNCTION=${function}
            -P ${PROJECT_SOURCE_DIR}/cmake/EmbedText.cmake
    DEPENDS ${file} ${PROJECT_SOURCE_DIR}/cmake/EmbedText.cmake)
  target_sources(${target} PRIVATE ${output})
endfunction()

# defused_test(NAME SOURCES ... DEPENDS ... [LABELS ...]): one Catch2 program, one CTest test. 77 is "skipped".
function(defused_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS;LABELS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  set_target_properties(${name} PROPERTIES DEFUSED_TEST ON)
  if(NOT DEFINED CMAKE_UNITY_BUILD)
    set_target_properties(${name} PROPERTIES UNITY_BUILD ON)
  endif()
  target_link_libraries(${name} PRIVATE ${ARG_DEPENDS} catch_main defused_options)
  add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  set(timeout 120)
  if(DEFUSED_SANITIZE)
    set(timeout 400)
  endif()
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}" SKIP_RETURN_CODE 77 TIMEOUT ${timeout})
endfunction()

# defused_python_test(NAME DIRECTORY MODULE [LABELS ...] [TIMEOUT seconds]): unittest modules run by tests/run.py. They run
# one at a time: they share the machine's /proc, ports and FUSE connections.
function(defused_python_test name)
  cmake_parse_arguments(ARG "" "DIRECTORY;TIMEOUT" "MODULES;LABELS" ${ARGN})
  add_test(NAME ${name}
           COMMAND /usr/bin/python3 ${PROJECT_SOURCE_DIR}/tests/run.py ${ARG_DIRECTORY} ${ARG_MODULES}
           WORKING_DIRECTORY ${ARG_DIRECTORY})
  set(environment DEFUSED_BUILD=${CMAKE_BINARY_DIR})
  if(DEFUSED_SANITIZE)
    list(APPEND environment DEFUSED_SLOW=1)
  endif()
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}" SKIP_RETURN_CODE 77 RUN_SERIAL ON
                       TIMEOUT ${ARG_TIMEOUT} ENVIRONMENT "${environment}")
endfunction()

# SPDX-License-Identifier: Apache-2.0
# The version as the program prints it: the project's number, the revision it was built from, the compiler.
# Made at configure time into version.h; the program is `unknown` where there is no git checkout.
set(DEFUSED_REVISION unknown)
find_package(Git QUIET)
if(GIT_FOUND)
  execute_process(COMMAND ${GIT_EXECUTABLE} describe --always --dirty --abbrev=12 --exclude=*
                  WORKING_DIRECTORY ${PROJECT_SOURCE_DIR} OUTPUT_VARIABLE revision
                  OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
  if(NOT failed)
    set(DEFUSED_REVISION ${revision})
  endif()
endif()
configure_file(${PROJECT_SOURCE_DIR}/cmake/version.h.in ${CMAKE_BINARY_DIR}/generated/version.h @ONLY)
add_library(defused_version INTERFACE)
target_include_directories(defused_version INTERFACE ${CMAKE_BINARY_DIR}/generated)

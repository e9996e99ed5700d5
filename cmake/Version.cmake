# SPDX-License-Identifier: Apache-2.0
# The version as the program prints it: the project's number, the revision it was built from, the compiler.
# Made at configure time into version.h; the program is `unknown` where there is no git checkout.
set(DEFUSED_REVISION unknown)
# As Debian sorts: 0.1.0~TIME before 0.1.0, which is what the tag v0.1.0 names; after that 0.1.0+TIME. The time of the commit
# rather than a count, which a shallow clone has wrong.
set(DEFUSED_DEBIAN_VERSION ${PROJECT_VERSION})
set(DEFUSED_COMMIT_TIME 0)
find_package(Git QUIET)

# defused_ask_git(VARIABLE ARGUMENTS..): what git says in one line, empty where it refuses.
function(defused_ask_git variable)
  execute_process(COMMAND ${GIT_EXECUTABLE} -c safe.directory=* ${ARGN} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR}
                  OUTPUT_VARIABLE answer OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
  if(failed)
    set(answer "")
  endif()
  set(${variable} "${answer}" PARENT_SCOPE)
endfunction()

if(GIT_FOUND)
  defused_ask_git(revision describe --always --dirty --abbrev=12 --exclude=*)
endif()
if(revision)
  set(DEFUSED_REVISION ${revision})
  defused_ask_git(DEFUSED_COMMIT_TIME log -1 --format=%ct)
  defused_ask_git(tags tag --merged HEAD --list v${PROJECT_VERSION})
  defused_ask_git(here tag --points-at HEAD --list v${PROJECT_VERSION})
  if(NOT here OR revision MATCHES "-dirty$")
    set(ENV{TZ} UTC)
    defused_ask_git(moment log -1 --date=format-local:%Y%m%d%H%M%S --format=%cd)
    string(REPLACE "-" "." revision ${revision})
    set(sign "~")
    if(tags)
      set(sign "+")
    endif()
    string(APPEND DEFUSED_DEBIAN_VERSION "${sign}${moment}.g${revision}")
  endif()
endif()
configure_file(${PROJECT_SOURCE_DIR}/cmake/version.h.in ${CMAKE_BINARY_DIR}/generated/version.h @ONLY)
add_library(defused_version INTERFACE)
target_include_directories(defused_version INTERFACE ${CMAKE_BINARY_DIR}/generated)

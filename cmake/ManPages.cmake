# SPDX-License-Identifier: Apache-2.0
# The man pages, by scdoc from docs/man/NAME.SECTION.scd, where it is found: without it all is built but them. No word is
# hyphenated, since most that are long enough are names to copy; groff's .TH takes back what scdoc says of that before it.
find_program(DEFUSED_SCDOC scdoc)
if(NOT DEFUSED_SCDOC)
  message(STATUS "scdoc not found: no man pages")
  return()
endif()

set(pages
  defused.8 defused-run.8 defused-scan.8 defused-explain.8 defused-connections.8 defused-abort.8 defused-check.8
  defused-capture.8 defused-replay.8 defused-pause.8 defused-resume.8 defused-config.8 defused-version.8
  defused.json.5 defused-metrics.7)
set(built "")
foreach(page ${pages})
  set(source ${PROJECT_SOURCE_DIR}/docs/man/${page}.scd)
  set(output ${CMAKE_BINARY_DIR}/man/${page})
  add_custom_command(OUTPUT ${output} VERBATIM
    COMMAND sh -c "\"$0\" <\"$1\" >\"$2.scdoc\" && sed '/^\\.TH /a .nh' \"$2.scdoc\" >\"$2\"" ${DEFUSED_SCDOC} ${source} ${output}
    DEPENDS ${source})
  list(APPEND built ${output})
  string(REGEX MATCH "[0-9]$" section ${page})
  install(FILES ${output} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
endforeach()
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/man)
add_custom_target(defused_man_pages ALL DEPENDS ${built})

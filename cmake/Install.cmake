# SPDX-License-Identifier: Apache-2.0
# What `cmake --install` puts where: the program, the systemd unit with the program's path in it, the documents, man pages
# and completions, and the configuration unless there is one already. The last goes to /etc whatever the prefix is, since the program looks there.
set(DEFUSED_CONFIG_DIR /etc/defused CACHE PATH "Where the configuration file is installed")

install(TARGETS defused_program RUNTIME DESTINATION ${CMAKE_INSTALL_SBINDIR})

file(READ ${PROJECT_SOURCE_DIR}/systemd/defused.service unit)
string(REPLACE "/usr/sbin/defused" "${CMAKE_INSTALL_FULL_SBINDIR}/defused" unit "${unit}")
string(REPLACE "/usr/share/doc/defused" "${CMAKE_INSTALL_FULL_DOCDIR}" unit "${unit}")
file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/generated/defused.service CONTENT "${unit}" @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/generated/defused.service DESTINATION lib/systemd/system)

# As in the repository, so that the links between them hold: README.md above docs/.
install(FILES README.md CHANGELOG.md CONTRIBUTING.md LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} RENAME copyright)
install(DIRECTORY docs DESTINATION ${CMAKE_INSTALL_DOCDIR} PATTERN docs/man EXCLUDE)
include(${CMAKE_CURRENT_LIST_DIR}/ManPages.cmake)
install(FILES config/completions/defused.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME defused)
install(FILES config/completions/_defused DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
install(FILES config/defused.schema.json config/defused.audit.schema.json config/defused.report.schema.json
        DESTINATION ${CMAKE_INSTALL_DATADIR}/defused)
install(DIRECTORY config/prometheus DESTINATION ${CMAKE_INSTALL_DATADIR}/defused)
# As the unit: with the path of the program.
file(READ ${PROJECT_SOURCE_DIR}/config/node-problem-detector/defused-monitor.json monitor)
string(REPLACE "/usr/sbin/defused" "${CMAKE_INSTALL_FULL_SBINDIR}/defused" monitor "${monitor}")
file(GENERATE OUTPUT ${CMAKE_BINARY_DIR}/generated/defused-monitor.json CONTENT "${monitor}")
install(FILES ${CMAKE_BINARY_DIR}/generated/defused-monitor.json
        DESTINATION ${CMAKE_INSTALL_DATADIR}/defused/node-problem-detector)
install(CODE "
  set(target \"\$ENV{DESTDIR}${DEFUSED_CONFIG_DIR}/defused.json\")
  if(EXISTS \"\${target}\")
    message(STATUS \"Kept: \${target}\")
  else()
    file(INSTALL \"${PROJECT_SOURCE_DIR}/config/defused.json\" DESTINATION \"${DEFUSED_CONFIG_DIR}\")
  endif()")

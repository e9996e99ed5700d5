# SPDX-License-Identifier: Apache-2.0
# What `cmake --install` puts where: the program, the systemd unit with the program's path in it, the documents, man pages
# and completions, and the configuration unless there is one already. The last goes to /etc whatever the prefix is, since the program looks there.
set(DEFUSED_CONFIG_DIR /etc/defused CACHE PATH "Where the configuration file is installed")

# defused_install_with_paths(FILE DESTINATION): with the paths of /usr in it put below the prefix, which is known only when
# it is installed: `cmake --install --prefix` and the package have another one than the build.
function(defused_install_with_paths file destination)
  cmake_path(GET file FILENAME name)
  install(CODE "
    file(READ \"${PROJECT_SOURCE_DIR}/${file}\" text)
    string(REPLACE /usr/sbin/defused \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_SBINDIR}/defused\" text \"\${text}\")
    string(REPLACE /usr/share/doc/defused \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_DOCDIR}\" text \"\${text}\")
    file(WRITE \"${CMAKE_BINARY_DIR}/generated/${name}\" \"\${text}\")
    file(INSTALL \"${CMAKE_BINARY_DIR}/generated/${name}\" DESTINATION \"\${CMAKE_INSTALL_PREFIX}/${destination}\")")
endfunction()

install(TARGETS defused_program RUNTIME DESTINATION ${CMAKE_INSTALL_SBINDIR})
# Makes a deadlock to look at (docs/OPERATING.md, "See it find one").
if(TARGET defused-lab)
  install(TARGETS defused-lab RUNTIME DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/defused)
endif()

defused_install_with_paths(systemd/defused.service lib/systemd/system)
install(FILES systemd/defused.sysusers DESTINATION lib/sysusers.d RENAME defused.conf)
install(FILES systemd/enforce.conf DESTINATION ${CMAKE_INSTALL_DATADIR}/defused/systemd)

# As in the repository, so that the links between them hold: README.md above docs/ and beside systemd/.
install(FILES README.md CHANGELOG.md CONTRIBUTING.md LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES systemd/README.md DESTINATION ${CMAKE_INSTALL_DOCDIR}/systemd)
install(DIRECTORY docs DESTINATION ${CMAKE_INSTALL_DOCDIR} PATTERN docs/man EXCLUDE)
include(${CMAKE_CURRENT_LIST_DIR}/ManPages.cmake)
install(FILES config/completions/defused.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME defused)
install(FILES config/completions/_defused DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
install(FILES config/defused.schema.json config/defused.audit.schema.json config/defused.report.schema.json
        DESTINATION ${CMAKE_INSTALL_DATADIR}/defused)
install(DIRECTORY config/grafana DESTINATION ${CMAKE_INSTALL_DATADIR}/defused)
install(DIRECTORY config/prometheus config/docker DESTINATION ${CMAKE_INSTALL_DATADIR}/defused)
install(DIRECTORY config/kubernetes DESTINATION ${CMAKE_INSTALL_DATADIR}/defused)
# Once more, with the place of the runbooks in them.
defused_install_with_paths(config/prometheus/defused.alerts.yml ${CMAKE_INSTALL_DATADIR}/defused/prometheus)
defused_install_with_paths(config/prometheus/tests/defused_alerts.yml ${CMAKE_INSTALL_DATADIR}/defused/prometheus/tests)
defused_install_with_paths(config/kubernetes/prometheus-operator/prometheusrule.yaml
                           ${CMAKE_INSTALL_DATADIR}/defused/kubernetes/prometheus-operator)
foreach(dashboard defused-fleet defused-host)
  defused_install_with_paths(config/grafana/${dashboard}.json ${CMAKE_INSTALL_DATADIR}/defused/grafana)
endforeach()
defused_install_with_paths(config/node-problem-detector/defused-monitor.json
                           ${CMAKE_INSTALL_DATADIR}/defused/node-problem-detector)
install(CODE "
  set(target \"\$ENV{DESTDIR}${DEFUSED_CONFIG_DIR}/defused.json\")
  if(EXISTS \"\${target}\")
    message(STATUS \"Kept: \${target}\")
  else()
    file(INSTALL \"${PROJECT_SOURCE_DIR}/config/defused.json\" DESTINATION \"${DEFUSED_CONFIG_DIR}\")
  endif()")

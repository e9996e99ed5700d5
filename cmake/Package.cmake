# SPDX-License-Identifier: Apache-2.0
# The Debian package, by `cpack` (`./dev package`): what `cmake --install` makes with prefix /usr, put in Debian's form by
# DebianTree.cmake, with the maintainer scripts of cmake/debian. The same tree at the same place gives the same bytes.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME defused)
set(CPACK_PACKAGE_VENDOR "")
set(CPACK_PACKAGE_CONTACT "defused maintainers <defused@localhost>" CACHE STRING "Who maintains the package: NAME <ADDRESS>")
set(CPACK_PACKAGE_DIRECTORY ${CMAKE_BINARY_DIR}/package)
set(CPACK_VERBATIM_VARIABLES ON)
# By DESTDIR, since the configuration goes to /etc whatever the prefix is.
set(CPACK_SET_DESTDIR ON)
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ
                                                WORLD_EXECUTE)
set(CPACK_THREADS 0)

set(CPACK_DEBIAN_PACKAGE_VERSION ${DEFUSED_DEBIAN_VERSION})
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# For the account, as dh_installsysusers has it.
set(CPACK_DEBIAN_PACKAGE_DEPENDS "systemd | systemd-standalone-sysusers | systemd-sysusers")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "prometheus")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "finds and frees containers that cannot die because of FUSE")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
"A container whose process waits in the kernel for an answer of a FUSE file
system, while the server of that file system is dead or is that very process,
can be killed by nobody. This daemon finds such PID namespaces, says what they
wait for and why nobody can answer, and exports it to Prometheus.
.
It looks and tells. Only where its configuration says \"mode\": \"enforce\" does
it abort the FUSE connection that holds such a namespace, after a series of
gates, and keeps a record of it.")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(debian ${PROJECT_SOURCE_DIR}/cmake/debian)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${debian}/conffiles ${debian}/postinst ${debian}/prerm ${debian}/postrm)

set(CPACK_PROJECT_CONFIG_FILE ${CMAKE_BINARY_DIR}/generated/PackageTime.cmake)
file(CONFIGURE OUTPUT ${CPACK_PROJECT_CONFIG_FILE} @ONLY CONTENT [[
# The time of every file in the package: of the commit, unless the caller says another one.
if(NOT DEFINED ENV{SOURCE_DATE_EPOCH})
  set(ENV{SOURCE_DATE_EPOCH} @DEFUSED_COMMIT_TIME@)
endif()
]])
set(CPACK_PRE_BUILD_SCRIPTS ${PROJECT_SOURCE_DIR}/cmake/DebianTree.cmake)
set(CPACK_DEFUSED_DEBIAN_FILES ${debian})
include(CPack)

# SPDX-License-Identifier: Apache-2.0
# Run by cpack between installing and packing: what Debian wants in another form or at another place than `cmake --install`
# puts it. CPACK_TEMPORARY_INSTALL_DIRECTORY is the tree.
set(usr ${CPACK_TEMPORARY_INSTALL_DIRECTORY}/usr)
set(doc ${usr}/share/doc/defused)

# Licences have one form and one place; the links of README.md and CONTRIBUTING.md to LICENSE go on to it.
configure_file(${CPACK_DEFUSED_DEBIAN_FILES}/copyright ${doc}/copyright COPYONLY)
file(REMOVE ${doc}/LICENSE)
file(CREATE_LINK copyright ${doc}/LICENSE SYMBOLIC)

# The package's own log has one entry, which points to that of the program.
string(TIMESTAMP date "%a, %d %b %Y %H:%M:%S +0000" UTC) # of SOURCE_DATE_EPOCH
set(version ${CPACK_DEBIAN_PACKAGE_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE})
file(WRITE ${doc}/changelog.Debian "defused (${version}) unstable; urgency=medium\n\n  * Built from its own tree; what changed is in \
CHANGELOG.md.\n\n -- ${CPACK_PACKAGE_CONTACT}  ${date}\n")
file(CREATE_LINK CHANGELOG.md ${doc}/changelog COPY_ON_ERROR)

# zsh of Debian looks there.
file(MAKE_DIRECTORY ${usr}/share/zsh/vendor-completions)
file(RENAME ${usr}/share/zsh/site-functions/_defused ${usr}/share/zsh/vendor-completions/_defused)
file(REMOVE_RECURSE ${usr}/share/zsh/site-functions)

file(MAKE_DIRECTORY ${usr}/share/lintian/overrides)
configure_file(${CPACK_DEFUSED_DEBIAN_FILES}/lintian-overrides ${usr}/share/lintian/overrides/defused COPYONLY)

file(GLOB pages ${usr}/share/man/man?/*.?) # of a directory that was just made
execute_process(COMMAND gzip -9n -f ${pages} ${doc}/changelog.Debian ${doc}/changelog COMMAND_ERROR_IS_FATAL ANY)

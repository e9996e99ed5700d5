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
configure_file(${doc}/CHANGELOG.md ${doc}/changelog COPYONLY) # Debian's name; links of the documents go to the other one

# zsh of Debian looks there.
file(MAKE_DIRECTORY ${usr}/share/zsh/vendor-completions)
file(RENAME ${usr}/share/zsh/site-functions/_defused ${usr}/share/zsh/vendor-completions/_defused)
file(REMOVE_RECURSE ${usr}/share/zsh/site-functions)

file(MAKE_DIRECTORY ${usr}/share/lintian/overrides)
configure_file(${CPACK_DEFUSED_DEBIAN_FILES}/lintian-overrides ${usr}/share/lintian/overrides/defused COPYONLY)

execute_process(COMMAND find ${usr}/share/man -type f -exec gzip -9n {} + COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND gzip -9n ${doc}/changelog.Debian ${doc}/changelog COMMAND_ERROR_IS_FATAL ANY)

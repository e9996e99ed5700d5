// SPDX-License-Identifier: Apache-2.0
// Parts of man pages (scdoc, docs/man) that are made from a table of the program: how its texts are written there, and
// the comparison with the page. Runs in the top directory of the sources.
#pragma once

#include <string>
#include <string_view>

namespace defused {

/// Text that scdoc shows as it is.
std::string as_scdoc(std::string_view text);

/// Text of the documents: `code` becomes bold, [a link](target) becomes its words.
std::string markdown_as_scdoc(std::string_view text);

/// The page at `path` has `body` between the comment lines `; NAME: written by PROGRAM` and `; end of NAME`. With
/// DEFUSED_WRITE_DOCS in the environment it is written there.
void check_man_page(const std::string& path, const std::string& name, const std::string& program,
                    const std::string& body);

}  // namespace defused

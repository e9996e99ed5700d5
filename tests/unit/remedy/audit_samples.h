// SPDX-License-Identifier: Apache-2.0
// Records of every kind, as the audit log has them: for the tests of what they say, and of their published schema.
#pragma once

#include <string>
#include <vector>

#include "remedy/remedy.h"

namespace defused {

/// An order in which all that may be known is known: every list has something in it, every option is set.
RemedyOrder make_full_order();
/// One of which nothing is known that need not be.
RemedyOrder make_bare_order();
LedgerEntry make_entry(const RemedyOrder& order);

/// Every kind of record at least once, with and without what may be null in it.
std::vector<std::string> make_audit_samples();

}  // namespace defused

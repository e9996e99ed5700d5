// SPDX-License-Identifier: Apache-2.0
// What tells one build of this program from another: what goes between two processes of it as it lies in memory
// (channel.h, the CBOR of a pass) is understood by the same binary only.
#pragma once

#include <string>

namespace defused {

/// The GNU build id of this program in hexadecimal, which its linker made from its content; "" where it has none.
std::string read_build_id();

/// One line without a newline, the same in every process of this binary and in no other: "defused 0.6.0 d83a2d2
/// BUILD-ID MESSAGE-BYTES".
std::string build_identity();

}  // namespace defused

// SPDX-License-Identifier: Apache-2.0
// For -DDEFUSED_BPF=OFF.
#include "bpf/file_reader.h"
#include "bpf/place_reader.h"
#include "bpf/wait_reader.h"

namespace defused {

Result<std::unique_ptr<FileReader>> FileReader::load(Detail /*most*/) {
  return fail(ErrorKind::unsupported, "bpf: this program was built without it");
}

Result<std::unique_ptr<WaitReader>> WaitReader::load() {
  return fail(ErrorKind::unsupported, "bpf: this program was built without it");
}

Result<std::unique_ptr<PlaceReader>> PlaceReader::load() {
  return fail(ErrorKind::unsupported, "bpf: this program was built without it");
}

}  // namespace defused

// SPDX-License-Identifier: Apache-2.0
#include "model/short_name.h"

namespace defused {

std::string short_name(const Container& container) {
  constexpr std::size_t kShortId = 12;
  const std::string id = container.id.substr(0, kShortId);
  if (id.empty()) return container.pod_uid.empty() ? container.runtime : "pod " + container.pod_uid;
  return container.runtime.empty() ? id : container.runtime + " " + id;
}

}  // namespace defused

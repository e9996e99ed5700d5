// SPDX-License-Identifier: Apache-2.0
#include "daemon/build_identity.h"

#include <elf.h>
#include <link.h>
#include <version.h>

#include <array>
#include <cstring>
#include <string_view>

#include "daemon/channel.h"

namespace defused {

namespace {

std::string to_hex(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (const char byte : bytes) {
    const auto value = static_cast<unsigned char>(byte);
    out += kDigits[value >> 4U];
    out += kDigits[value & 15U];
  }
  return out;
}

constexpr std::size_t padded(std::size_t size) { return (size + 3) & ~std::size_t{3}; }

// A segment of notes: each a header (name size, content size, type), the name and the content, padded to 4 bytes.
std::string find_build_id(std::string_view notes) {
  constexpr std::string_view kName("GNU\0", 4);
  ElfW(Nhdr) header{};
  while (notes.size() >= sizeof header) {
    std::memcpy(&header, notes.data(), sizeof header);
    notes.remove_prefix(sizeof header);
    const std::size_t name = padded(header.n_namesz);
    const std::size_t content = padded(header.n_descsz);
    if (notes.size() < name || notes.size() - name < content) return {};
    if (header.n_type == NT_GNU_BUILD_ID && notes.substr(0, header.n_namesz) == kName) {
      return to_hex(notes.substr(name, header.n_descsz));
    }
    notes.remove_prefix(name + content);
  }
  return {};
}

// The first object that is listed is the program itself: 1 ends the list.
int take_program(dl_phdr_info* object, std::size_t /*size*/, void* out) {
  for (int i = 0; i < object->dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = object->dlpi_phdr[i];
    if (segment.p_type != PT_NOTE) continue;
    // NOLINTNEXTLINE(performance-no-int-to-ptr,cppcoreguidelines-pro-type-reinterpret-cast): where the loader put it
    const auto* begin = reinterpret_cast<const char*>(object->dlpi_addr + segment.p_vaddr);
    auto& id = *static_cast<std::string*>(out);
    if (id.empty()) id = find_build_id({begin, segment.p_memsz});
  }
  return 1;
}

}  // namespace

std::string read_build_id() {
  std::string id;
  dl_iterate_phdr(&take_program, &id);
  return id;
}

std::string build_identity() {
  const std::string id = read_build_id();
  return std::string("defused ") + kVersion + " " + kRevision + " " + (id.empty() ? "-" : id) + " " +
         std::to_string(sizeof(Message));
}

}  // namespace defused

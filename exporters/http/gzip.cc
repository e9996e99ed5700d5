// SPDX-License-Identifier: Apache-2.0
#include <zlib.h>

#include <algorithm>

#include "base/text.h"
#include "exporters/http/server.h"

namespace defused {

namespace {

// "gzip;q=0.5": the name, and whether its weight is above 0.
bool allows(std::string_view part, std::string_view coding) {
  const std::string_view name = trim(take_field(part, ';'));
  if (name != coding) return false;
  const std::string_view weight = trim(part);
  if (weight.substr(0, 2) != "q=") return true;
  return weight.find_first_of("123456789") != std::string_view::npos;
}

}  // namespace

bool accepts_gzip(std::string_view accept_encoding) {
  const auto parts = split_fields(accept_encoding, ',');
  return std::any_of(parts.begin(), parts.end(), [](std::string_view part) { return allows(part, "gzip"); });
}

Result<std::string> compress_gzip(const std::string& text) {
  z_stream stream{};
  constexpr int kGzipWindow = 15 + 16;
  constexpr int kMemory = 8;
  if (deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, kGzipWindow, kMemory, Z_DEFAULT_STRATEGY) != Z_OK) {
    return fail(ErrorKind::io, "zlib: deflateInit2 failed");
  }
  std::string out(deflateBound(&stream, static_cast<uLong>(text.size())), '\0');
  stream.next_in =
      reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));  // NOLINT(cppcoreguidelines-pro-type-const-cast)
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int ended = deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  if (ended != Z_STREAM_END) return fail(ErrorKind::io, "zlib: deflate failed");
  return out;
}

}  // namespace defused

// SPDX-License-Identifier: Apache-2.0
// A person reads these files first, so times stand there in words too; only the numbers are read again.
#include "capture/about.h"

#include <limits>
#include <nlohmann/json.hpp>
#include <string>

#include "base/text.h"
#include "model/codec.h"

namespace defused {

namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kSchema = "defused.capture/v1";
constexpr const char* kEvidenceSchema = "defused.evidence/v1";
constexpr std::uint64_t kMaxTime = 1ULL << 62U;  // ns, 146 years: no difference of two overflows
constexpr std::size_t kMaxBootId = 64;           // it is a UUID
constexpr std::size_t kMaxBytes = 256U << 10U;   // of either file: 4096 connections are among it

std::string on_one_line(const Json& object) {
  return object.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

// Takes the members of one object; the first thing that is wrong is what is told.
class Members {
 public:
  Members(std::string_view text, const char* file)
      : file_(file),
        object_(Json::parse(text.size() > kMaxBytes ? std::string_view() : text, nullptr, /*allow_exceptions=*/false)) {
    if (object_.is_discarded() || !object_.is_object()) complain("expected a JSON object");
  }

  std::string text(const char* key, std::size_t max_bytes = kMaxTextBytes) {
    const Json* value = find(key);
    if (value != nullptr && value->is_string()) return sanitize(value->get_ref<const std::string&>(), max_bytes);
    complain(std::string(key) + ": expected a text");
    return {};
  }
  bool flag(const char* key) {
    const Json* value = find(key);
    if (value != nullptr && value->is_boolean()) return value->get<bool>();
    complain(std::string(key) + ": expected true or false");
    return false;
  }
  std::uint64_t number(const char* key, std::uint64_t max) {
    const Json* value = find(key);
    if (value != nullptr && value->is_number_unsigned() && value->get<std::uint64_t>() <= max) {
      return value->get<std::uint64_t>();
    }
    complain(std::string(key) + ": expected a whole number from 0 to " + std::to_string(max));
    return 0;
  }
  /// Whole numbers by whole numbers; empty where there is no such member.
  std::map<std::uint32_t, std::uint64_t> numbers(const char* key) {
    std::map<std::uint32_t, std::uint64_t> out;
    const Json* value = find(key);
    if (value == nullptr) return out;
    bool well = value->is_object();
    for (const auto& [name, number] : value->items()) {
      const auto id = parse_u64(name);
      well = well && id && *id <= std::numeric_limits<std::uint32_t>::max() && number.is_number_unsigned();
      if (!well) break;
      out[static_cast<std::uint32_t>(*id)] = number.get<std::uint64_t>();
    }
    if (!well) complain(std::string(key) + ": expected an object of whole numbers by whole numbers");
    return out;
  }
  Nanoseconds time(const char* key) { return Nanoseconds(static_cast<std::int64_t>(number(key, kMaxTime))); }
  pid_t pid(const char* key) { return static_cast<pid_t>(number(key, std::numeric_limits<pid_t>::max())); }

  void complain(const std::string& sentence) {
    if (trouble_.empty()) trouble_ = std::string(file_) + ": " + sentence;
  }
  [[nodiscard]] bool has(const char* key) const { return find(key) != nullptr; }
  [[nodiscard]] bool well() const { return trouble_.empty(); }
  [[nodiscard]] Failure failure() const { return fail(ErrorKind::malformed, trouble_); }

 private:
  [[nodiscard]] const Json* find(const char* key) const {
    if (!object_.is_object()) return nullptr;
    const auto found = object_.find(key);
    return found == object_.end() ? nullptr : &*found;
  }

  const char* file_;
  Json object_;
  std::string trouble_;
};

// Those of the first versions had no host and no number for the time.
Result<CaptureAbout> parse_evidence(Members& members) {
  CaptureAbout about;
  about.evidence = true;
  about.looks = 1;
  if (members.has("host")) about.host = members.text("host");
  if (members.has("time_ns")) about.time = members.time("time_ns");
  if (!members.well()) return members.failure();
  return about;
}

}  // namespace

std::string render_about(const CaptureAbout& about) {
  return on_one_line({{"schema", kSchema},
                      {"version", about.version},
                      {"host", about.host},
                      {"time", format_wall_time(about.time)},
                      {"time_ns", about.time.count()},
                      {"boot_id", about.boot_id},
                      {"all", about.all},
                      {"redacted", about.redacted},
                      {"looks", about.looks}});
}

Result<CaptureAbout> parse_about(std::string_view text) {
  Members members(text, "about.json");
  const std::string schema = members.text("schema");
  if (schema == kEvidenceSchema) return parse_evidence(members);
  if (schema != kSchema) members.complain(std::string("schema: expected ") + kSchema + ", got '" + schema + "'");
  CaptureAbout about;
  about.version = members.text("version");
  about.host = members.text("host");
  about.time = members.time("time_ns");
  about.boot_id = members.text("boot_id", kMaxBootId);
  about.all = members.flag("all");
  about.redacted = members.flag("redacted");
  about.looks = static_cast<std::uint32_t>(members.number("looks", std::numeric_limits<std::uint32_t>::max()));
  if (!members.well()) return members.failure();
  return about;
}

std::string render_look(const LookAbout& look) {
  Json inodes = Json::object();
  for (const auto& [connection, inode] : look.connection_inodes) inodes[std::to_string(connection)] = inode;
  return on_one_line({{"time", format_wall_time(look.begin.wall)},
                      {"wall_ns", look.begin.wall.count()},
                      {"boottime_ns", look.begin.boottime.count()},
                      {"file_reader", look.file_reader},
                      {"wait_reader", look.wait_reader},
                      {"own", look.own},
                      {"parent", look.parent},
                      {"left_out", look.left_out},
                      {"readers_left_behind", look.readers_left_behind},
                      {"connection_inodes", inodes}});
}

Result<LookAbout> parse_look(std::string_view text) {
  Members members(text, "look.json");
  LookAbout look;
  look.begin.wall = members.time("wall_ns");
  look.begin.boottime = members.time("boottime_ns");
  if (members.well() && look.begin.boottime <= Nanoseconds(0)) {
    members.complain("boottime_ns: expected a time after the boot");
  }
  look.file_reader = members.flag("file_reader");
  look.wait_reader = members.flag("wait_reader");
  look.own = members.pid("own");
  look.parent = members.pid("parent");
  look.left_out = members.number("left_out", std::numeric_limits<std::uint64_t>::max());
  // Those that the first versions made do not say it.
  if (members.has("readers_left_behind")) {
    look.readers_left_behind = members.number("readers_left_behind", std::numeric_limits<std::uint32_t>::max());
  }
  look.connection_inodes = members.numbers("connection_inodes");
  if (!members.well()) return members.failure();
  return look;
}

}  // namespace defused

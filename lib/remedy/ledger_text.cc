// SPDX-License-Identifier: Apache-2.0
// The text of the ledger: strict in reading, since what is done rests on it.
//
//   {"schema":"defused.ledger/v1","boot_id":"...","breaker":{...},"entries":[{...}]}
//   crc32 89abcdef
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <initializer_list>
#include <limits>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/text.h"
#include "remedy/ledger_file.h"

namespace defused {

namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kLedgerSchema = "defused.ledger/v1";
constexpr std::size_t kMaxDetail = 1024;      // bytes of one sentence; with it a full ledger is below 700 KiB
constexpr std::size_t kMaxBootId = 64;        // it is a UUID
constexpr std::int64_t kMaxTime = 1LL << 62;  // ns, 146 years: no difference of two overflows

std::string checksum_line(std::string_view text) {
  const uLong sum = crc32(0, reinterpret_cast<const Bytef*>(text.data()), static_cast<uInt>(text.size()));
  std::array<char, 32> line{};
  std::snprintf(line.data(), line.size(), "crc32 %08lx\n", sum);
  return line.data();
}

// Takes the members of one object; the first thing that is wrong is what is told.
class Fields {
 public:
  Fields(const Json& object, std::string where, std::string& trouble)
      : object_(object), where_(std::move(where)), trouble_(trouble) {
    if (!object.is_object()) complain("expected an object");
  }

  void allow_only(std::initializer_list<std::string_view> keys) {
    if (!object_.is_object()) return;
    for (const auto& [key, value] : object_.items()) {
      if (std::find(keys.begin(), keys.end(), key) == keys.end()) complain("unknown key '" + sanitize(key) + "'");
    }
  }

  const Json* find(const char* key) {
    const auto found = object_.is_object() ? object_.find(key) : object_.end();
    if (object_.is_object() && found == object_.end()) complain(std::string("expected a key '") + key + "'");
    return !object_.is_object() || found == object_.end() ? nullptr : &*found;
  }

  std::string text(const char* key, std::size_t max_bytes) {
    const Json* value = find(key);
    if (value == nullptr) return {};
    if (!value->is_string()) return complain(key, "text"), std::string();
    return sanitize(value->get_ref<const std::string&>(), max_bytes);
  }

  std::int64_t number(const char* key, std::int64_t low, std::int64_t high) {
    const Json* value = find(key);
    if (value == nullptr) return 0;
    const bool fits =
        value->is_number_integer() &&
        (!value->is_number_unsigned() ||
         value->get<std::uint64_t>() <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()));
    const std::int64_t got = fits ? value->get<std::int64_t>() : 0;
    if (!fits || got < low || got > high) {
      complain(key, "a whole number from " + std::to_string(low) + " to " + std::to_string(high));
      return 0;
    }
    return got;
  }

  std::uint64_t inode(const char* key) {
    const Json* value = find(key);
    if (value == nullptr) return 0;
    if (!value->is_number_unsigned()) return complain(key, "an inode number"), 0;
    return value->get<std::uint64_t>();
  }

  bool truth(const char* key) {
    const Json* value = find(key);
    if (value == nullptr) return false;
    if (!value->is_boolean()) return complain(key, "true or false"), false;
    return value->get<bool>();
  }

  template <typename Word>
  Word word(const char* key) {
    const Json* value = find(key);
    if (value == nullptr) return Word{};
    const auto known = value->is_string() ? parse_word<Word>(value->get_ref<const std::string&>()) : std::nullopt;
    if (known) return *known;
    std::string all;
    for (const Word each : AllWords<Word>::values) all += (all.empty() ? "" : ", ") + std::string(to_string(each));
    complain(key, "one of " + all);
    return Word{};
  }

  void complain(const std::string& what) {
    if (trouble_.empty()) trouble_ = where_ + ": " + what;
  }
  void complain(const char* key, const std::string& expected) { complain(std::string(key) + ": expected " + expected); }

 private:
  const Json& object_;
  std::string where_;
  std::string& trouble_;
};

Json entry_json(const LedgerEntry& entry) {
  return {{"connection", entry.connection.kernel_dev},
          {"directory_inode", entry.directory_inode},
          {"pid_namespace", entry.pid_namespace.inode},
          {"at_boottime_ns", entry.at_boottime.count()},
          {"at_wall_ns", entry.at_wall.count()},
          {"outcome", entry.outcome ? Json(std::string(to_string(*entry.outcome))) : Json()},
          {"detail", sanitize(entry.detail, kMaxDetail)},
          {"recovery_ns", entry.recovery.count()},
          {"by_hand", entry.by_hand}};
}

LedgerEntry parse_entry(const Json& object, const std::string& where, std::string& trouble) {
  Fields fields(object, where, trouble);
  fields.allow_only({"connection", "directory_inode", "pid_namespace", "at_boottime_ns", "at_wall_ns", "outcome",
                     "detail", "recovery_ns", "by_hand"});
  LedgerEntry entry;
  entry.connection.kernel_dev = static_cast<std::uint32_t>(
      fields.number("connection", 0, static_cast<std::int64_t>(std::numeric_limits<std::uint32_t>::max())));
  entry.directory_inode = fields.inode("directory_inode");
  entry.pid_namespace.inode = fields.inode("pid_namespace");
  entry.at_boottime = Nanoseconds(fields.number("at_boottime_ns", -kMaxTime, kMaxTime));
  entry.at_wall = Nanoseconds(fields.number("at_wall_ns", 0, kMaxTime));
  const Json* outcome = fields.find("outcome");
  if (outcome != nullptr && !outcome->is_null()) entry.outcome = fields.word<Outcome>("outcome");
  entry.detail = fields.text("detail", kMaxDetail);
  entry.recovery = Nanoseconds(fields.number("recovery_ns", 0, kMaxTime));
  entry.by_hand = fields.truth("by_hand");
  return entry;
}

Breaker parse_breaker(const Json& object, std::string& trouble) {
  Fields fields(object, "breaker", trouble);
  fields.allow_only({"cause", "since_wall_ns", "failures", "detail"});
  Breaker breaker;
  breaker.cause = fields.word<BreakerCause>("cause");
  breaker.since_wall = Nanoseconds(fields.number("since_wall_ns", 0, kMaxTime));
  breaker.failures = static_cast<std::uint32_t>(
      fields.number("failures", 0, static_cast<std::int64_t>(std::numeric_limits<std::uint32_t>::max())));
  breaker.detail = fields.text("detail", kMaxDetail);
  return breaker;
}

Failure malformed(const std::string& what) { return fail(ErrorKind::malformed, what); }

// What the checksum is of: the object and its newline.
Result<std::string_view> check_sum(std::string_view text) {
  const std::size_t end = text.find('\n');
  if (end == std::string_view::npos) return malformed("expected an object, a newline and its checksum");
  const std::string_view object = text.substr(0, end + 1);
  if (text.substr(end + 1) != checksum_line(object)) {
    return malformed("the checksum: expected 'crc32' and that of the first line, got '" +
                     sanitize(text.substr(end + 1), 32) + "'");
  }
  return object;
}

}  // namespace

// Numbers of an earlier boot mean nothing in this one, and its boot clock is another. A wall clock that was set back
// makes an action one of this moment, never one of the future.
void take_into_this_boot(LedgerEntry& entry, Instant now) {
  const Nanoseconds age = std::max(now.wall - entry.at_wall, Nanoseconds(0));
  entry.at_boottime = now.boottime - age;
  entry.connection = {};
  entry.directory_inode = 0;
  entry.pid_namespace = {};
}

std::string render_ledger(const Ledger& ledger, const std::string& boot_id) {
  Json entries = Json::array();
  const std::size_t count = ledger.entries.size();
  for (std::size_t i = count - std::min(count, kMaxLedgerEntries); i < count; ++i) {
    entries.push_back(entry_json(ledger.entries[i]));
  }
  const Breaker& breaker = ledger.breaker;
  const Json object = {{"schema", kLedgerSchema},
                       {"boot_id", boot_id},
                       {"breaker",
                        {{"cause", std::string(to_string(breaker.cause))},
                         {"since_wall_ns", breaker.since_wall.count()},
                         {"failures", breaker.failures},
                         {"detail", sanitize(breaker.detail, kMaxDetail)}}},
                       {"entries", std::move(entries)}};
  std::string text = object.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  text += checksum_line(text);
  return text;
}

Result<Ledger> parse_ledger(const std::string& text, const std::string& boot_id, Instant now) {
  if (text.size() > LedgerFile::kMaxBytes) return malformed("longer than a ledger may be");
  const auto object = check_sum(text);
  if (!object) return Failure(object.error());
  const Json root = Json::parse(object->begin(), object->end(), nullptr, false);
  if (root.is_discarded()) return malformed("the first line: expected a JSON object");
  std::string trouble;
  Fields fields(root, "the ledger", trouble);
  fields.allow_only({"schema", "boot_id", "breaker", "entries"});
  if (fields.text("schema", kMaxTextBytes) != kLedgerSchema)
    fields.complain("schema", std::string("'") + kLedgerSchema + "'");
  const std::string its_boot = fields.text("boot_id", kMaxBootId);
  Ledger ledger;
  if (const Json* breaker = fields.find("breaker")) ledger.breaker = parse_breaker(*breaker, trouble);
  const Json* entries = fields.find("entries");
  if (entries != nullptr && !entries->is_array()) fields.complain("entries", "a list");
  if (entries != nullptr && entries->size() > kMaxLedgerEntries) {
    fields.complain("entries", "at most " + std::to_string(kMaxLedgerEntries));
  }
  if (!trouble.empty()) return malformed(trouble);
  for (const Json& entry : *entries) {
    const std::string where = "entries[" + std::to_string(ledger.entries.size()) + "]";
    ledger.entries.push_back(parse_entry(entry, where, trouble));
    if (!trouble.empty()) return malformed(trouble);
    if (its_boot != boot_id || boot_id.empty()) take_into_this_boot(ledger.entries.back(), now);
  }
  return ledger;
}

}  // namespace defused

// SPDX-License-Identifier: Apache-2.0
#include "remedy/audit_tail.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <ctime>
#include <iomanip>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/text.h"
#include "remedy/audit_file.h"
#include "remedy/state_files.h"

namespace defused {

namespace {

using nlohmann::json;

std::string text_of(const json& record, const char* key) {
  const auto found = record.find(key);
  return found != record.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::uint64_t number_of(const json& record, const char* key) {
  const auto found = record.find(key);
  return found != record.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}

// The way back of format_wall_time(); 0 where it is none.
Nanoseconds parse_wall_time(const std::string& text) {
  std::tm date{};
  std::istringstream in(text);
  unsigned milliseconds = 0;
  char dot = 0;
  in >> std::get_time(&date, "%Y-%m-%dT%H:%M:%S") >> dot >> milliseconds;
  if (!in || dot != '.') return Nanoseconds(0);
  return std::chrono::seconds(timegm(&date)) + std::chrono::milliseconds(milliseconds);
}

LedgerEntry entry_of(const json& record) {
  LedgerEntry entry;
  entry.connection = {static_cast<std::uint32_t>(number_of(record, "connection"))};
  entry.directory_inode = number_of(record, "directory_inode");
  entry.pid_namespace = {number_of(record, "pid_namespace")};
  entry.at_wall = parse_wall_time(text_of(record, "intent_time"));
  const auto by_hand = record.find("by_hand");
  entry.by_hand = by_hand != record.end() && by_hand->is_object();
  return entry;
}

OutcomeRecord outcome_of(const json& record, const LedgerEntry& entry, Outcome outcome) {
  OutcomeRecord out{entry.pid_namespace, entry.connection, outcome, sanitize(text_of(record, "detail"))};
  out.at = entry.at_wall;
  const auto recovery = record.find("recovery_seconds");
  if (recovery != record.end() && recovery->is_number()) {
    out.recovery = std::chrono::duration_cast<Nanoseconds>(std::chrono::duration<double>(recovery->get<double>()));
  }
  return out;
}

// The log has milliseconds, and the ledger no numbers of an earlier boot.
bool is_same(const LedgerEntry& entry, ConnectionId connection, Nanoseconds at) {
  using std::chrono::milliseconds;
  return (entry.connection == connection || entry.connection == ConnectionId{}) &&
         std::chrono::floor<milliseconds>(entry.at_wall) == std::chrono::floor<milliseconds>(at);
}

}  // namespace

AuditTail parse_audit_tail(std::string_view text) {
  AuditTail tail;
  while (!text.empty()) {
    const json record = json::parse(take_field(text, '\n'), nullptr, false);
    if (!record.is_object()) continue;
    const std::string kind = text_of(record, "record");
    const LedgerEntry entry = entry_of(record);
    if (kind == "intent") tail.open = entry;
    const auto outcome = parse_word<Outcome>(text_of(record, "outcome"));
    if ((kind != "outcome" && kind != "interrupted") || !outcome) continue;
    if (tail.open && is_same(*tail.open, entry.connection, entry.at_wall)) tail.open.reset();
    tail.outcomes.push_back(outcome_of(record, entry, *outcome));
  }
  return tail;
}

Result<AuditTail> read_audit_tail(const std::string& state_directory) {
  const auto directory = open_state_directory(state_directory);
  if (!directory && directory.error().kind == ErrorKind::gone) return AuditTail{};
  if (!directory) return Failure(directory.error());
  const std::string path = state_directory + "/" + AuditFile::kName;
  const UniqueFd file(openat(directory->get(), AuditFile::kName, O_RDONLY | kOpenStrange));
  if (!file && errno == ENOENT) return AuditTail{};
  if (!file) return fail_errno(errno, "opening " + path);
  struct stat found {};
  if (fstat(file.get(), &found) != 0) return fail_errno(errno, "looking at " + path);
  if (!S_ISREG(found.st_mode)) return fail(ErrorKind::malformed, path + " is not a regular file");
  const auto size = static_cast<std::size_t>(found.st_size);
  std::string text(std::min(size, kMaxAuditTail), '\0');
  std::size_t have = 0;
  while (have < text.size()) {
    const auto at = static_cast<off_t>(size - text.size() + have);
    const ssize_t got = pread(file.get(), text.data() + have, text.size() - have, at);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(errno, "reading " + path);
    if (got == 0) break;
    have += static_cast<std::size_t>(got);
  }
  return parse_audit_tail(std::string_view(text).substr(0, have));
}

bool is_same_action(const LedgerEntry& one, const LedgerEntry& other) {
  return is_same(one, other.connection, other.at_wall);
}

const OutcomeRecord* find_outcome(const AuditTail& tail, const LedgerEntry& entry) {
  const auto found = std::find_if(tail.outcomes.begin(), tail.outcomes.end(), [&](const OutcomeRecord& record) {
    return is_same(entry, record.connection, record.at);
  });
  return found == tail.outcomes.end() ? nullptr : &*found;
}

}  // namespace defused

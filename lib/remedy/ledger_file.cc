// SPDX-License-Identifier: Apache-2.0
#include "remedy/ledger_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "base/beneath.h"
#include "base/text.h"
#include "model/codec.h"
#include "remedy/state_files.h"

namespace defused {

namespace {

constexpr std::size_t kMaxCorrupt = 4;  // enough to see what goes wrong again and again, and bounded

std::string corrupt_prefix() { return std::string(LedgerFile::kName) + ".corrupt-"; }

// The newest by their names, which are times; `just_made` stays even where the clock was set back.
void forget_old_ones(int directory, const std::string& path, const std::string& just_made) {
  const auto names = list_state_directory(directory, path);
  if (!names) return;
  std::vector<std::string> others;
  const std::string prefix = corrupt_prefix();
  for (const std::string& name : *names) {
    if (name.compare(0, prefix.size(), prefix) == 0 && name != just_made) others.push_back(name);
  }
  for (std::size_t i = 0; i + kMaxCorrupt <= others.size(); ++i) unlinkat(directory, others[i].c_str(), 0);
}

}  // namespace

LedgerFile::LedgerFile(std::string directory, std::string boot_id)
    : directory_(std::move(directory)), boot_id_(std::move(boot_id)) {}

LedgerFile::Identity LedgerFile::identity_of(const struct stat& status) {
  constexpr std::int64_t kNanosecondsPerSecond = 1'000'000'000;
  return {status.st_ino, static_cast<std::uint64_t>(status.st_size),
          status.st_mtim.tv_sec * kNanosecondsPerSecond + status.st_mtim.tv_nsec};
}

Result<Ledger> LedgerFile::load(Instant now) const {
  known_ = identify();
  const auto directory = open_state_directory(directory_);
  if (!directory && directory.error().kind == ErrorKind::gone) return Ledger{};
  if (!directory) return Failure(directory.error());
  const auto file = read_state_file(directory->get(), directory_, kName, kMaxBytes);
  if (!file) return Failure(file.error());
  if (!*file) {
    known_.reset();
    return Ledger{};
  }
  known_ = identity_of((*file)->status);
  auto ledger = parse_ledger((*file)->text, boot_id_, now);
  if (!ledger) return prepend(directory_ + "/" + kName, ledger.error());
  return ledger;
}

bool LedgerFile::changed() const { return identify() != known_; }

Result<void> LedgerFile::save(const Ledger& ledger) {
  const auto directory = make_state_directory(directory_);
  if (!directory) return Failure(directory.error());
  const auto made = replace_state_file(directory->get(), directory_, kName, render_ledger(ledger, boot_id_));
  if (!made) return Failure(made.error());
  known_ = identity_of(*made);
  return {};
}

Result<void> LedgerFile::check() const {
  const auto directory = make_state_directory(directory_);
  if (!directory) return Failure(directory.error());
  return prove_room(directory->get(), directory_, kName, kMaxBytes);
}

Result<std::string> LedgerFile::set_aside(Instant now) {
  const auto directory = open_state_directory(directory_);
  if (!directory) return Failure(directory.error());
  const std::string name = corrupt_prefix() + format_wall_time(now.wall);
  // A second name, so that there is no moment without a ledger. What is no file can only be moved away.
  if (linkat(directory->get(), kName, directory->get(), name.c_str(), 0) != 0) {
    if (renameat(directory->get(), kName, directory->get(), name.c_str()) != 0) {
      return fail_errno(errno, "renaming " + directory_ + "/" + kName + " to " + name);
    }
    known_.reset();
  }
  if (auto durable = make_durable(directory->get(), directory_); !durable) return Failure(durable.error());
  forget_old_ones(directory->get(), directory_, name);
  return name;
}

std::optional<LedgerFile::Identity> LedgerFile::identify() const {
  struct stat status {};
  const std::string path = directory_ + "/" + kName;
  if (lstat(path.c_str(), &status) != 0) return std::nullopt;
  return identity_of(status);
}

std::string read_boot_id() {
  const auto random = Beneath::open_root("/proc/sys/kernel/random");
  if (!random) return {};
  const auto file = random->read_file("boot_id", kMaxTextBytes);
  return file ? sanitize(trim(file->text)) : std::string();
}

}  // namespace defused

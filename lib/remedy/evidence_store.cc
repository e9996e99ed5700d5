// SPDX-License-Identifier: Apache-2.0
#include "remedy/evidence_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "base/text.h"
#include "base/tree_archive.h"
#include "model/codec.h"
#include "remedy/state_files.h"

namespace defused {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kSuffix = ".tar.gz";
constexpr const char* kStem = "unfinished";
constexpr const char* kPattern = "????????T??????.???Z-*.tar.gz";

// What a reader should know before trusting the tree to be whole.
std::string describe(const EvidenceBundle& bundle) {
  const Json about = {{"schema", "defused.evidence/v1"},          {"host", bundle.host},
                      {"time", format_wall_time(bundle.at_wall)}, {"time_ns", bundle.at_wall.count()},
                      {"connection", bundle.connection},          {"left_out", bundle.left_out}};
  return about.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

struct Kept {
  std::string name;
  std::uint64_t bytes = 0;
};

// Bundles of ours, the oldest first.
std::vector<Kept> list_bundles(int directory, const std::string& path) {
  std::vector<Kept> bundles;
  for (const std::string& name : list_state_directory(directory, path).value_or(std::vector<std::string>())) {
    struct stat found {};
    if (!matches_glob(kPattern, name) || fstatat(directory, name.c_str(), &found, AT_SYMLINK_NOFOLLOW) != 0) continue;
    bundles.push_back({name, static_cast<std::uint64_t>(found.st_size)});
  }
  return bundles;
}

void forget_old_ones(int directory, const std::string& path, const std::string& just_made, std::uint32_t max_bundles,
                     std::uint64_t max_bytes) {
  std::vector<Kept> bundles = list_bundles(directory, path);
  std::size_t count = bundles.size();
  std::uint64_t bytes = 0;
  for (const Kept& bundle : bundles) bytes += bundle.bytes;
  for (const Kept& bundle : bundles) {
    if (count <= max_bundles && bytes <= max_bytes) return;
    if (bundle.name == just_made) continue;
    if (unlinkat(directory, bundle.name.c_str(), 0) != 0) continue;
    --count;
    bytes -= bundle.bytes;
  }
}

Result<UniqueFd> make_evidence_directory(const std::string& state_directory, const std::string& path) {
  const auto above = make_state_directory(state_directory);
  if (!above) return Failure(above.error());
  const bool made = mkdirat(above->get(), EvidenceStore::kDirectory, kStateDirectoryMode) == 0;
  if (!made && errno != EEXIST) return fail_errno(errno, "creating " + path);
  UniqueFd directory(openat(above->get(), EvidenceStore::kDirectory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!directory) return fail_errno(errno, "opening " + path);
  if (made) {
    if (auto durable = make_durable(above->get(), state_directory); !durable) return Failure(durable.error());
  }
  return directory;
}

}  // namespace

EvidenceStore::EvidenceStore(std::string state_directory, std::uint32_t max_bundles, std::uint64_t max_bytes)
    : state_directory_(std::move(state_directory)), max_bundles_(max_bundles), max_bytes_(max_bytes) {}

Result<std::string> EvidenceStore::keep(EvidenceBundle bundle) {
  if (max_bundles_ == 0) return fail(ErrorKind::unsupported, "no evidence is to be kept: remedy.evidence_bundles is 0");
  const std::string path = state_directory_ + "/" + kDirectory;
  const auto directory = make_evidence_directory(state_directory_, path);
  if (!directory) return Failure(directory.error());

  // The largest thing that a daemon ever holds: there is one of it.
  FileTree& tree = bundle.tree;
  tree.add_file("about.json", describe(bundle));
  tree.add_file("settings.json", std::move(bundle.settings));
  tree.add_file("intent.json", std::move(bundle.intent));
  tree.add_file("report.json", std::move(bundle.report));

  std::string name = format_compact_time(bundle.at_wall);
  name.append("-").append(std::to_string(bundle.connection)).append(kSuffix);
  auto file = TemporaryFile::create(directory->get(), path, kStem);
  if (!file) return Failure(file.error());
  if (auto written = write_tree_archive(tree, bundle.at_wall, true, file->fd(), max_bytes_); !written) {
    if (written.error().kind != ErrorKind::unsupported) return prepend(name, written.error());
    return fail(ErrorKind::unsupported, name + ": larger than all bundles may be");
  }
  if (auto made = file->put_in_place(name); !made) return Failure(made.error());
  forget_old_ones(directory->get(), path, name, max_bundles_, max_bytes_);
  return name;
}

}  // namespace defused

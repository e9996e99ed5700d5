// SPDX-License-Identifier: Apache-2.0
// Every capture without its names: the same is found in it, and none of the names is.
#include <catch2/catch.hpp>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "base/text.h"
#include "base/tree_archive.h"
#include "base/tree_directory.h"
#include "capture/redact.h"
#include "capture_cycle.h"
#include "model/codec.h"
#include "temporary_directory.h"

using namespace defused;
using nlohmann::json;

namespace {

namespace fs = std::filesystem;  // for directories of our own only

const std::vector<std::string> kRedacted = {"linux-6.1.192-flush",  "linux-6.1.192-healthy",  "linux-6.1.192-mmap",
                                            "linux-6.12.107-flush", "linux-6.12.107-healthy", "linux-6.12.107-mmap",
                                            "linux-6.18.44-docker", "linux-6.18.44-flush",    "linux-6.18.44-healthy",
                                            "linux-6.18.44-mmap"};

FileTree load(const fs::path& root) {
  auto loaded = read_tree_directory(root.string());
  REQUIRE(loaded);
  return std::move(loaded->tree);
}

json judge(const std::string& root) {
  ManualClock clock({10000s, 1'800'000'000s});
  const auto cycle = make_tree_cycle(root, clock);
  REQUIRE(cycle);
  return json::parse(render_report_json(run_passes(*cycle, clock, 3), ExposeSource::full));
}

// What stands under these keys in a report was chosen by somebody.
bool is_name(const std::string& key) {
  static const std::set<std::string> kNames = {"comm", "source",  "mount_point", "mount_points",
                                               "id",   "pod_uid", "cgroup"};
  return kNames.count(key) > 0;
}

using Names = std::map<std::string, std::string>;

// That `is` says what `was` does, with one other name for each name.
// NOLINTNEXTLINE(misc-no-recursion): as deep as a report
void compare(const json& was, const json& is, const std::string& key, Names& there, Names& back) {
  CAPTURE(key, was, is);
  REQUIRE(was.type() == is.type());
  REQUIRE(was.size() == is.size());
  if (was.is_object()) {
    for (const auto& [name, value] : was.items()) {
      REQUIRE(is.contains(name));
      compare(value, is.at(name), name, there, back);
    }
  } else if (was.is_array()) {
    for (std::size_t i = 0; i < was.size(); ++i) compare(was[i], is[i], key, there, back);
  } else if (was.is_string() && is_name(key)) {
    const auto from = key + " " + was.get<std::string>();
    const auto to = key + " " + is.get<std::string>();
    CHECK(there.emplace(from, to).first->second == to);
    CHECK(back.emplace(to, from).first->second == from);
  } else {
    CHECK(was == is);
  }
}

}  // namespace

TEST_CASE("of each capture without names the same is found, and names are others one by one") {
  Redactor redactor;  // of all, as if they were looks of one
  Names there;
  Names back;
  for (const std::string& name : kRedacted) {
    CAPTURE(name);
    const fs::path root = fs::path(DEFUSED_CAPTURES) / name;
    const TemporaryDirectory directory;
    const auto redacted = TreeDirectory::create(directory.path().string());
    REQUIRE(redacted);
    const FileTree tree = redactor.redact(load(root));
    REQUIRE((*redacted)->become(tree));
    json was = judge(root.string());
    json is = judge((*redacted)->path());
    for (json* report : {&was, &is}) report->erase("duration_seconds");
    compare(was, is, "", there, back);
  }
  CHECK(redactor.dropped() == 0);
}

namespace {

// What stays of the paths in the captures.
const std::set<std::string> kKept = {
    // types of file systems, and sources that are the same
    "devtmpfs", "sysfs", "proc", "rootfs", "none", "tmpfs", "devpts", "cgroup", "cgroup2", "nsfs", "fusectl", "overlay",
    "mqueue",
    // hierarchies, which are words of the kernel
    "pids", "memory", "freezer", "devices", "cpuset", "cpuacct", "blkio", "systemd", "unified",
    // words of every host and of Docker
    "fuse", "connections", "docker", "containers", "containerd", "moby", "io.containerd.runtime.v2.task", "default",
    "overlay2", "merged", "system.slice", "sbin", "firmware", "null"};

bool is_of_kernel(const FileTree& tree, const std::string& status_path) {
  const FileTree::Node* status = tree.find(status_path);
  if (status == nullptr) return false;
  const std::string& text = status->text;
  if (text.find("\nKthread:") != std::string::npos) return text.find("\nKthread:\t1") != std::string::npos;
  return text.find("\nPPid:\t2\n") != std::string::npos || text.find("\nPid:\t2\n") != std::string::npos;
}

// The part of a type that a FUSE program chooses stays: here it is called as its source and process.
std::string without_types(std::string text) {
  constexpr std::string_view kSubtype = "fuse.ndrive ";
  for (std::size_t at = text.find(kSubtype); at != std::string::npos; at = text.find(kSubtype)) {
    text.erase(at, kSubtype.size());
  }
  return text;
}

void add_path(std::string_view path, std::set<std::string>& secrets) {
  for (const std::string_view component : split_fields(path, '/')) {
    constexpr std::size_t kShortest = 4;
    if (component.size() < kShortest || component.find(":[") != std::string_view::npos) continue;
    if (kKept.count(std::string(component)) == 0) secrets.emplace(component);
  }
}

// Names of processes, components of paths, ids, sources, values of options: by where the kernel writes them.
std::set<std::string> secrets_of(const FileTree& tree) {
  std::set<std::string> secrets;
  for (const auto& [path, node] : tree.nodes()) {
    const std::string name = path.substr(path.rfind('/') + 1);
    const std::string directory = path.substr(0, path.rfind('/') + 1);
    if (name == "comm" && !is_of_kernel(tree, directory + "status")) add_path(trim(node.text), secrets);
    if (node.kind == FileTree::Kind::link) add_path(node.text, secrets);
    if (name != "mountinfo" && name != "cgroup") continue;
    std::string_view rest = node.text;
    while (!rest.empty()) {
      const std::string_view line = take_field(rest, '\n');
      if (name == "cgroup") {
        add_path(line.substr(line.rfind(':') + 1), secrets);
        continue;
      }
      const auto fields = split_fields(line, ' ');
      for (const std::size_t field : {std::size_t{3}, std::size_t{4}, fields.size() - 2})
        add_path(fields[field], secrets);
      for (const std::string_view option : split_fields(fields.back(), ',')) {
        if (option.find('/') != std::string_view::npos) add_path(option.substr(option.find('=') + 1), secrets);
      }
    }
  }
  return secrets;
}

}  // namespace

TEST_CASE("none of the names in a capture is anywhere in what was redacted") {
  for (const std::string& name : kRedacted) {
    CAPTURE(name);
    const FileTree tree = load(fs::path(DEFUSED_CAPTURES) / name);
    const std::set<std::string> secrets = secrets_of(tree);
    const FileTree redacted = Redactor().redact(tree);
    CHECK(secrets.size() > 3);
    for (const std::string& secret : secrets) {
      CAPTURE(secret);
      for (const auto& [path, node] : redacted.nodes()) {
        const bool is_of_symbols = path.find("/stack") != std::string::npos || path.find("/wchan") != std::string::npos;
        if (!is_of_symbols && without_types(node.text).find(secret) != std::string::npos) FAIL_CHECK(path);
      }
    }
    // Redacted again it is what it was.
    CHECK(Redactor().redact(redacted) == redacted);
  }
}

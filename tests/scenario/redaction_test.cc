// SPDX-License-Identifier: Apache-2.0
// Every capture without its names: the same is found in it, and none of the names is.
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <string>

#include "base/text.h"
#include "capture/redact.h"
#include "capture_cycle.h"
#include "model/codec.h"
#include "temporary_directory.h"

using namespace defused;
using nlohmann::json;

namespace {

namespace fs = std::filesystem;  // for directories of our own only

const std::vector<std::string> kCaptures = {"linux-6.1.192-flush",  "linux-6.1.192-healthy",  "linux-6.1.192-mmap",
                                            "linux-6.12.107-flush", "linux-6.12.107-healthy", "linux-6.12.107-mmap",
                                            "linux-6.18.44-docker", "linux-6.18.44-flush",    "linux-6.18.44-healthy",
                                            "linux-6.18.44-mmap"};

std::string read_whole(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

FileTree load_tree(const fs::path& root) {
  FileTree tree;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    const std::string path = entry.path().lexically_relative(root).string();
    if (entry.is_symlink()) {
      tree.add_link(path, fs::read_symlink(entry.path()).string());
    } else if (entry.is_directory()) {
      tree.add_directory(path);
    } else {
      tree.add_file(path, read_whole(entry.path()));
    }
  }
  return tree;
}

void write_tree(const FileTree& tree, const fs::path& root) {
  for (const auto& [path, node] : tree.nodes()) {
    if (node.kind == FileTree::Kind::directory) fs::create_directories(root / path);
    if (node.kind == FileTree::Kind::link) fs::create_symlink(node.text, root / path);
    if (node.kind == FileTree::Kind::file) std::ofstream(root / path, std::ios::binary) << node.text;
  }
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
  for (const std::string& name : kCaptures) {
    CAPTURE(name);
    const fs::path root = fs::path(DEFUSED_CAPTURES) / name;
    const TemporaryDirectory directory;
    write_tree(redactor.redact(load_tree(root)), directory.path());
    json was = judge(root.string());
    json is = judge(directory.path().string());
    for (json* report : {&was, &is}) report->erase("duration_seconds");
    compare(was, is, "", there, back);
  }
  CHECK(redactor.dropped() == 0);
  for (const auto& [from, to] : there) WARN(from + " -> " + to);
}

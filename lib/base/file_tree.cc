// SPDX-License-Identifier: Apache-2.0
#include "base/file_tree.h"

#include <algorithm>

#include "base/text.h"

namespace defused {

namespace {

constexpr unsigned kByteBits = 8;

std::string join(std::string_view root, std::string_view path) {
  std::string out(root);
  if (!root.empty() && !path.empty()) out += '/';
  return out += path;
}

bool is_graphic(char c) { return c >= ' ' && c <= '~'; }

using Place = std::vector<std::uint8_t>::iterator;

// The low byte first.
Place put_number(Place at, std::uint64_t number) {
  for (std::size_t i = 0; i < sizeof number; ++i) *at++ = static_cast<std::uint8_t>(number >> (kByteBits * i));
  return at;
}

// What is left of encoded bytes; `ok` is false once they were not what was asked for.
struct Decoder {
  std::string_view rest;
  bool ok = true;

  std::string_view take(std::uint64_t size) {
    ok = ok && size <= rest.size();
    if (!ok) return {};
    const std::string_view taken = rest.substr(0, size);
    rest.remove_prefix(size);
    return taken;
  }
  std::uint64_t take_number() {
    std::uint64_t number = 0;
    const std::string_view bytes = take(sizeof number);
    for (std::size_t i = bytes.size(); i > 0; --i) {
      number = number << kByteBits | static_cast<std::uint8_t>(bytes[i - 1]);
    }
    return number;
  }
};

}  // namespace

bool FileTree::is_plain(std::string_view path) {
  // The usual case without a copy; the rest is UTF-8 or not.
  if (!std::all_of(path.begin(), path.end(), is_graphic) && sanitize(path, path.size()) != path) return false;
  while (true) {
    const std::size_t slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    if (part.empty() || part == "." || part == "..") return false;
    if (slash == std::string_view::npos) return true;
    path.remove_prefix(slash + 1);
  }
}

void FileTree::add_file(std::string_view path, std::string text) { add(path, {Kind::file, std::move(text)}); }

void FileTree::add_link(std::string_view path, std::string target) { add(path, {Kind::link, std::move(target)}); }

void FileTree::add_directory(std::string_view path) { add(path, {Kind::directory, {}}); }

void FileTree::add(std::string_view path, Node node) {
  if (!is_plain(path)) return;
  // Above a directory there are directories already.
  for (std::size_t end = path.rfind('/'); end != std::string_view::npos; end = path.rfind('/', end - 1)) {
    Node& above = nodes_[std::string(path.substr(0, end))];
    const bool known = above.kind == Kind::directory;
    above = {Kind::directory, {}};
    if (known) break;
  }
  const auto known = nodes_.find(path);
  if (known == nodes_.end()) {
    nodes_.emplace(path, std::move(node));
  } else if (known->second.kind != Kind::directory) {
    known->second = std::move(node);
  }
}

void FileTree::add_record(std::string_view root, const ReadRecorder& record) {
  add_directory(root);
  for (const auto& [path, entry] : record.entries()) {
    if (entry.kind == ReadRecorder::Kind::file) add_file(join(root, path), entry.text);
    // An empty link cannot be made again.
    if (entry.kind == ReadRecorder::Kind::link && !entry.text.empty()) add_link(join(root, path), entry.text);
  }
  for (const auto& [path, entry] : record.entries()) {
    if (entry.kind != ReadRecorder::Kind::directory) continue;
    add_listed(join(root, path), entry.text);
  }
}

void FileTree::add_listed(const std::string& directory, std::string_view listing) {
  if (!directory.empty() && !is_plain(directory)) return;
  add_directory(directory);
  while (!listing.empty()) {
    std::string_view name = take_field(listing, '\n');
    const bool is_directory = !name.empty() && name.back() == '/';
    if (is_directory) name.remove_suffix(1);
    if (name.find('/') != std::string_view::npos || !is_plain(name)) continue;
    const std::string path = join(directory, name);
    if (is_directory) {
      add_directory(path);
    } else if (find(path) == nullptr) {
      add_file(path, {});
    }
  }
}

void FileTree::add_tree(std::string_view root, const FileTree& other) {
  add_directory(root);
  for (const auto& [path, node] : other.nodes_) add(join(root, path), node);
}

void FileTree::remove(std::string_view path) {
  const auto [first, last] = range_below(path);
  nodes_.erase(first, last);
  if (const auto found = nodes_.find(path); found != nodes_.end()) nodes_.erase(found);
}

const FileTree::Node* FileTree::find(std::string_view path) const {
  const auto found = nodes_.find(path);
  return found == nodes_.end() ? nullptr : &found->second;
}

// All that begin with "path/" stand side by side: '0' is the character after '/'.
std::pair<FileTree::Nodes::const_iterator, FileTree::Nodes::const_iterator> FileTree::range_below(
    std::string_view path) const {
  if (path.empty()) return {nodes_.begin(), nodes_.end()};
  return {nodes_.lower_bound(std::string(path) + '/'), nodes_.lower_bound(std::string(path) + '0')};
}

FileTree FileTree::below(std::string_view root) const {
  FileTree out;
  const auto [first, last] = range_below(root);
  const std::size_t prefix = root.empty() ? 0 : root.size() + 1;
  for (auto at = first; at != last; ++at) {
    out.nodes_.emplace_hint(out.nodes_.end(), at->first.substr(prefix), at->second);
  }
  return out;
}

FileTree FileTree::take_below(std::string_view root) {
  FileTree out;
  auto [at, last] = range_below(root);
  const std::size_t prefix = root.empty() ? 0 : root.size() + 1;
  while (at != last) {
    auto node = nodes_.extract(at++);
    node.key().erase(0, prefix);
    out.nodes_.insert(out.nodes_.end(), std::move(node));
  }
  return out;
}

std::uint64_t FileTree::bytes() const {
  std::uint64_t sum = 0;
  for (const auto& [path, node] : nodes_) sum += path.size() + node.text.size();
  return sum;
}

bool is_below_any(const std::set<std::string, std::less<>>& paths, std::string_view path) {
  if (paths.empty()) return false;
  for (std::size_t end = path.rfind('/'); end != std::string_view::npos; end = path.rfind('/', end - 1)) {
    if (paths.find(path.substr(0, end)) != paths.end()) return true;
  }
  return false;
}

// Of each node: its kind, the sizes of path and text, both.
std::vector<std::uint8_t> encode_tree(const FileTree& tree) {
  constexpr std::size_t kOfEach = 1 + 2 * sizeof(std::uint64_t);
  std::vector<std::uint8_t> out(tree.nodes().size() * kOfEach + tree.bytes());
  auto at = out.begin();
  for (const auto& [path, node] : tree.nodes()) {
    *at++ = static_cast<std::uint8_t>(node.kind);
    at = put_number(at, path.size());
    at = put_number(at, node.text.size());
    at = std::copy(path.begin(), path.end(), at);
    at = std::copy(node.text.begin(), node.text.end(), at);
  }
  return out;
}

Result<FileTree> decode_tree(const std::vector<std::uint8_t>& bytes) {
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): bytes are bytes
  Decoder in{std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size())};
  FileTree tree;
  while (in.ok && !in.rest.empty()) {
    const std::string_view kind = in.take(1);
    const std::uint64_t path_size = in.take_number();
    const std::uint64_t text_size = in.take_number();
    const std::string_view path = in.take(path_size);
    std::string text(in.take(text_size));
    if (!in.ok) break;
    in.ok = FileTree::is_plain(path) && tree.find(path) == nullptr;
    switch (static_cast<FileTree::Kind>(kind.front())) {
      case FileTree::Kind::file: tree.add_file(path, std::move(text)); break;
      case FileTree::Kind::link: tree.add_link(path, std::move(text)); break;
      case FileTree::Kind::directory: tree.add_directory(path); break;
      default: in.ok = false;
    }
  }
  if (!in.ok) return fail(ErrorKind::malformed, "not a tree of files as this binary hands it over");
  return tree;
}

}  // namespace defused

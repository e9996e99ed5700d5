// SPDX-License-Identifier: Apache-2.0
#include "base/tree_directory.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string_view>
#include <utility>
#include <vector>

#include "base/beneath.h"

namespace defused {

namespace {

constexpr mode_t kDirectoryMode = 0700;
constexpr mode_t kFileMode = 0600;
constexpr int kOpenDirectory = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

Result<void> remove_all(int directory, const std::string& name);

// What was made here is never so many.
constexpr std::size_t kMaxNames = 10'000'000;

Result<void> empty_directory(UniqueFd directory) {  // NOLINT(misc-no-recursion): as deep as what was made here
  const Beneath beneath(std::move(directory));
  bool truncated = false;
  const auto names = beneath.list(".", kMaxNames, truncated);
  if (!names) return Failure(names.error());
  for (const std::string& name : *names) {
    if (auto removed = remove_all(beneath.fd(), name); !removed) return removed;
  }
  return {};
}

// Follows nothing.
Result<void> remove_all(int directory, const std::string& name) {  // NOLINT(misc-no-recursion)
  if (unlinkat(directory, name.c_str(), 0) == 0 || errno == ENOENT) return {};
  if (errno != EISDIR && errno != EPERM) return fail_errno(errno, "removing " + name);
  UniqueFd below(openat(directory, name.c_str(), kOpenDirectory));
  if (!below) return fail_errno(errno, "removing " + name);
  if (auto emptied = empty_directory(std::move(below)); !emptied) return emptied;
  if (unlinkat(directory, name.c_str(), AT_REMOVEDIR) != 0) return fail_errno(errno, "removing " + name);
  return {};
}

Result<void> write_file(int directory, const std::string& name, std::string_view text) {
  const UniqueFd file(
      openat(directory, name.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, kFileMode));
  if (!file) return fail_errno(errno, "writing " + name);
  if (auto written = write_all(file.get(), text); !written) return fail_errno(written.error().code, "writing " + name);
  return {};
}

// Descriptors of the directories above the path at hand: paths in order share most of them.
class Cursor {
 public:
  explicit Cursor(int root) : root_(root) {}

  /// The directory that holds `path`.
  Result<int> directory_of(std::string_view path) {
    const std::size_t slash = path.rfind('/');
    const std::string_view wanted = slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
    while (!open_.empty() && !is_at_or_below(wanted, open_.back().path)) open_.pop_back();
    while (current_path() != wanted) {
      const std::size_t from = current_path().empty() ? 0 : current_path().size() + 1;
      const std::string next(wanted.substr(0, wanted.find('/', from)));
      UniqueFd below(openat(current(), next.substr(from).c_str(), kOpenDirectory));
      if (!below) return fail_errno(errno, "opening " + next);
      open_.push_back({next, std::move(below)});
    }
    return current();
  }

 private:
  struct Level {
    std::string path;
    UniqueFd directory;
  };
  static bool is_at_or_below(std::string_view path, std::string_view above) {
    return path.substr(0, above.size()) == above && (path.size() == above.size() || path[above.size()] == '/');
  }
  [[nodiscard]] std::string_view current_path() const {
    return open_.empty() ? std::string_view() : std::string_view(open_.back().path);
  }
  [[nodiscard]] int current() const { return open_.empty() ? root_ : open_.back().directory.get(); }

  int root_;
  std::vector<Level> open_;
};

std::string name_in(const std::string& path) { return path.substr(path.rfind('/') + 1); }

Result<void> make_node(int directory, const std::string& path, const FileTree::Node& node) {
  const std::string name = name_in(path);
  switch (node.kind) {
    case FileTree::Kind::file: return write_file(directory, name, node.text);
    case FileTree::Kind::link:
      if (symlinkat(node.text.c_str(), directory, name.c_str()) != 0) return fail_errno(errno, "making " + path);
      return {};
    case FileTree::Kind::directory:
      if (mkdirat(directory, name.c_str(), kDirectoryMode) != 0) return fail_errno(errno, "making " + path);
      return {};
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<TreeDirectory>> TreeDirectory::create(const std::string& where) {
  std::string path = where + "/defused-XXXXXX";
  if (mkdtemp(path.data()) == nullptr) return fail_errno(errno, "making a directory in " + where);
  UniqueFd root(open(path.c_str(), kOpenDirectory));
  if (!root) {
    const int why = errno;
    rmdir(path.c_str());
    return fail_errno(why, "opening " + path);
  }
  return std::unique_ptr<TreeDirectory>(new TreeDirectory(std::move(path), std::move(root)));
}

TreeDirectory::~TreeDirectory() {
  // What cannot be removed stays; there is nobody to tell.
  if (empty_directory(std::move(root_))) rmdir(path_.c_str());
}

void TreeDirectory::replace_next(std::string path) { replaced_.insert(std::move(path)); }

// What must be another object than before is put aside until the new one is made: a file system would give it the same
// inode.
Result<void> TreeDirectory::take_away(int directory, const std::string& path) {
  const std::string name = name_in(path);
  if (replaced_.count(path) == 0) return remove_all(directory, name);
  const std::string aside = ".replaced-" + std::to_string(aside_.size());
  if (renameat(directory, name.c_str(), root_.get(), aside.c_str()) != 0) return fail_errno(errno, "moving " + path);
  aside_.push_back(aside);
  return {};
}

Result<void> TreeDirectory::remove_different(FileTree& before, const FileTree& tree) {
  std::set<std::string, std::less<>> removed;
  Cursor cursor(root_.get());
  for (const auto& [path, node] : before.nodes()) {
    if (is_below_any(removed, path)) continue;
    const FileTree::Node* now = tree.find(path);
    const bool stays = now != nullptr && now->kind == node.kind && replaced_.count(path) == 0 &&
                       (node.kind != FileTree::Kind::link || now->text == node.text);
    if (stays) continue;
    const auto directory = cursor.directory_of(path);
    if (!directory) return Failure(directory.error());
    if (auto gone = take_away(*directory, path); !gone) return gone;
    removed.insert(path);
  }
  for (const std::string& path : removed) before.remove(path);
  return {};
}

Result<void> TreeDirectory::make_different(const FileTree& before, const FileTree& tree,
                                           const std::function<bool()>& stop) {
  Cursor cursor(root_.get());
  for (const auto& [path, node] : tree.nodes()) {
    const FileTree::Node* then = before.find(path);
    if (then != nullptr && *then == node) continue;
    if (stop && stop()) return fail(ErrorKind::io, "interrupted");
    const auto directory = cursor.directory_of(path);
    if (!directory) return Failure(directory.error());
    if (auto made = make_node(*directory, path, node); !made) return made;
  }
  for (const std::string& name : aside_) {
    if (auto removed = remove_all(root_.get(), name); !removed) return removed;
  }
  return {};
}

Result<void> TreeDirectory::become(FileTree tree, const std::function<bool()>& stop) {
  FileTree before = std::exchange(now_, FileTree());
  if (auto removed = remove_different(before, tree); !removed) return prepend(path_, removed.error());
  if (auto made = make_different(before, tree, stop); !made) return prepend(path_, made.error());
  replaced_.clear();
  aside_.clear();
  now_ = std::move(tree);
  return {};
}

}  // namespace defused

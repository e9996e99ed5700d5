// SPDX-License-Identifier: Apache-2.0
#include "capture/looks.h"

#include <algorithm>
#include <array>
#include <limits>
#include <set>

#include "base/text.h"

namespace defused {

namespace {

constexpr const char* kLater = "later";
constexpr const char* kGone = "gone";

std::string place_of(std::size_t later) { return std::string(kLater) + "/" + std::to_string(later); }

// Topmost paths that are in `before` and not in `after`, or are something of another kind there; a line each.
std::string list_gone(const FileTree& before, const FileTree& after) {
  std::set<std::string, std::less<>> gone;
  for (const auto& [path, node] : before.nodes()) {
    if (is_below_any(gone, path)) continue;
    const FileTree::Node* now = after.find(path);
    if (now == nullptr || now->kind != node.kind) gone.insert(path);
  }
  std::string lines;
  for (const std::string& path : gone) lines.append(path) += '\n';
  return lines;
}

FileTree find_different(const FileTree& before, const FileTree& after) {
  FileTree out;
  for (const auto& [path, node] : after.nodes()) {
    const FileTree::Node* then = before.find(path);
    if (then != nullptr && *then == node) continue;
    switch (node.kind) {
      case FileTree::Kind::file: out.add_file(path, node.text); break;
      case FileTree::Kind::link: out.add_link(path, node.text); break;
      case FileTree::Kind::directory: out.add_directory(path); break;
    }
  }
  return out;
}

// "proc/1/status" -> "proc".
std::string_view first_part(std::string_view path) { return path.substr(0, path.find('/')); }

bool is_of_look(std::string_view path) {
  constexpr std::array<std::string_view, 5> kParts = {"bpf", "errors", "look.json", "proc", "sys"};
  return std::find(kParts.begin(), kParts.end(), first_part(path)) != kParts.end();
}

// Each line is a path of the look before. Any other one, above all an empty one, would take away what it does not say.
Result<void> check_gone(const FileTree& later, std::size_t count) {
  for (std::size_t i = 1; i <= count; ++i) {
    const FileTree::Node* gone = later.find(std::to_string(i) + "/" + kGone);
    if (gone == nullptr) continue;
    std::string_view lines = gone->text;
    for (std::size_t number = 1; !lines.empty(); ++number) {
      if (FileTree::is_plain(take_field(lines, '\n'))) continue;
      return fail(ErrorKind::malformed, place_of(i) + "/" + kGone + ": line " + std::to_string(number) +
                                            ": expected a path such as \"proc/17\"");
    }
  }
  return {};
}

// How many looks there are after the first.
Result<std::size_t> count_later(const FileTree& later) {
  std::set<std::string_view> numbers;
  for (const auto& [path, node] : later.nodes()) {
    const std::string_view name = first_part(path);
    const auto number = parse_u64(name);
    const bool fits = number && *number > 0 && *number < kMaxLooks && std::to_string(*number) == name;
    if (!fits || (name == path && node.kind != FileTree::Kind::directory)) {
      return fail(ErrorKind::malformed, "later/: expected directories with the numbers from 1 to " +
                                            std::to_string(kMaxLooks - 1) + ", got '" + sanitize(name) + "'");
    }
    numbers.insert(name);
  }
  for (std::size_t i = 1; i <= numbers.size(); ++i) {
    if (numbers.count(std::to_string(i)) == 0) {
      return fail(ErrorKind::malformed, "later/: " + std::to_string(i) + " is missing between the others");
    }
  }
  return numbers.size();
}

constexpr std::array<ErrorKind, 6> kErrorKinds = {ErrorKind::gone,      ErrorKind::denied,      ErrorKind::timeout,
                                                  ErrorKind::malformed, ErrorKind::unsupported, ErrorKind::io};

}  // namespace

FileTree join_looks(const std::vector<FileTree>& looks) {
  FileTree joined = looks.front();
  joined.remove(kLater);
  for (std::size_t i = 1; i < looks.size(); ++i) {
    FileTree part = find_different(looks[i - 1], looks[i]);
    part.add_file(kGone, list_gone(looks[i - 1], looks[i]));
    joined.add_tree(place_of(i), part);
  }
  return joined;
}

Result<LookReader> LookReader::open(FileTree joined) {
  if (const FileTree::Node* node = joined.find(kLater); node != nullptr && node->kind != FileTree::Kind::directory) {
    return fail(ErrorKind::malformed, "later: expected a directory");
  }
  FileTree later = joined.take_below(kLater);
  joined.remove(kLater);
  const auto count = count_later(later);
  if (!count) return Failure(count.error());
  if (auto checked = check_gone(later, *count); !checked) return Failure(checked.error());
  return LookReader(std::move(joined), std::move(later), *count + 1);
}

const FileTree* LookReader::next() {
  if (given_ == count_) return nullptr;
  if (given_ == 1) {
    std::vector<std::string> beside;
    for (const auto& [path, node] : now_.nodes()) {
      if (first_part(path) == path && !is_of_look(path)) beside.push_back(path);
    }
    for (const std::string& path : beside) now_.remove(path);
  }
  if (given_ > 0) {
    FileTree part = later_.take_below(std::to_string(given_));
    if (const FileTree::Node* gone = part.find(kGone); gone != nullptr) {
      std::string_view lines = gone->text;
      while (!lines.empty()) now_.remove(take_field(lines, '\n'));
    }
    part.remove(kGone);
    now_.add_tree("", part);
  }
  ++given_;
  return &now_;
}

Result<std::vector<FileTree>> split_looks(const FileTree& joined) {
  auto reader = LookReader::open(joined);
  if (!reader) return Failure(reader.error());
  std::vector<FileTree> looks;
  while (const FileTree* look = reader->next()) looks.push_back(*look);
  return looks;
}

std::string render_errors(const std::map<std::string, ReadRecorder::Failed>& errors) {
  std::string lines;
  for (const auto& [path, why] : errors) {
    // What has no plain name is in no tree either.
    if (!path.empty() && !FileTree::is_plain(path)) continue;
    lines.append(to_string(why.kind)).append(" ").append(std::to_string(why.code)).append(" ").append(path) += '\n';
  }
  return lines;
}

Result<std::map<std::string, ReadRecorder::Failed>> parse_errors(std::string_view text) {
  std::map<std::string, ReadRecorder::Failed> errors;
  for (std::size_t number = 1; !text.empty(); ++number) {
    std::string_view line = take_field(text, '\n');
    const std::string_view word = take_field(line, ' ');
    const auto code = parse_u64(take_field(line, ' '));
    const auto* const kind =
        std::find_if(kErrorKinds.begin(), kErrorKinds.end(), [&](ErrorKind known) { return to_string(known) == word; });
    constexpr std::uint64_t kMaxCode = std::numeric_limits<int>::max();
    if (kind == kErrorKinds.end() || !code || *code > kMaxCode || (!line.empty() && !FileTree::is_plain(line))) {
      return fail(ErrorKind::malformed, "errors: line " + std::to_string(number) +
                                            R"(: expected "KIND ERRNO PATH", such as "denied 13 proc/1/fdinfo")");
    }
    errors[std::string(line)] = {*kind, static_cast<int>(*code)};
  }
  return errors;
}

}  // namespace defused

// SPDX-License-Identifier: Apache-2.0
#include "settings/yaml_tree.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <exception>
#include <optional>
#include <sstream>
#include <utility>

#include "base/text.h"

namespace defused {

namespace {

constexpr std::size_t kMaxShownScalarBytes = 64;

// How the handler ends a parse; yaml-cpp knows no other way. Caught in parse_yaml.
class Refusal final : public std::exception {
 public:
  Refusal(const YAML::Mark& mark, std::string reason) : line_(mark.line), reason_(std::move(reason)) {}
  [[nodiscard]] int line() const { return line_; }
  [[nodiscard]] const char* what() const noexcept override { return reason_.c_str(); }

 private:
  int line_;
  std::string reason_;
};

std::size_t line_of(int from_zero) { return static_cast<std::size_t>(std::max(from_zero, 0)) + 1; }

class TreeBuilder final : public YAML::EventHandler {
 public:
  [[nodiscard]] YamlNode& root() { return root_; }

  void OnDocumentStart(const YAML::Mark& /*mark*/) override {}
  void OnDocumentEnd() override {}

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t /*anchor*/) override {
    throw Refusal(mark, "anchors and aliases (& and *) are not taken; a text that begins so needs quotes");
  }
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    check_plain(mark, "?", anchor);
    if (wants_key()) throw Refusal(mark, "expected a key");
    add(mark, YamlNode::Kind::null);
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    check_plain(mark, tag, anchor);
    if (wants_key()) return take_key(mark, value);
    YamlNode& node = add(mark, YamlNode::Kind::text);
    node.text = value;
    node.plain = tag == "?";
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value /*style*/) override {
    open(mark, tag, anchor, YamlNode::Kind::list);
  }
  void OnSequenceEnd() override { open_.pop_back(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value /*style*/) override {
    open(mark, tag, anchor, YamlNode::Kind::map);
  }
  void OnMapEnd() override { open_.pop_back(); }

 private:
  [[nodiscard]] bool wants_key() const { return !open_.empty() && open_.back()->kind == YamlNode::Kind::map && !key_; }

  static void check_plain(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    if (anchor != 0)
      throw Refusal(mark, "anchors and aliases (& and *) are not taken; a text that begins so needs quotes");
    if (!tag.empty() && tag != "?" && tag != "!")
      throw Refusal(mark, "tags (!) are not taken; a text that begins so needs quotes");
  }

  void take_key(const YAML::Mark& mark, const std::string& name) {
    const auto& items = open_.back()->items;
    const auto same = [&](const YamlNode& item) { return item.key == name; };
    if (std::any_of(items.begin(), items.end(), same))
      throw Refusal(mark, "\"" + sanitize(name, kMaxShownScalarBytes) + "\": given twice");
    key_ = name;
    key_line_ = line_of(mark.line);
  }

  YamlNode& add(const YAML::Mark& mark, YamlNode::Kind kind) {
    if (++count_ > kMaxYamlNodes) throw Refusal(mark, "more than " + std::to_string(kMaxYamlNodes) + " values");
    YamlNode& node = open_.empty() ? root_ : open_.back()->items.emplace_back();
    node.kind = kind;
    node.line = key_ ? key_line_ : line_of(mark.line);
    node.key = std::exchange(key_, std::nullopt).value_or("");
    return node;
  }

  void open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, YamlNode::Kind kind) {
    check_plain(mark, tag, anchor);
    if (wants_key()) throw Refusal(mark, "a key has to be a text");
    if (open_.size() == kMaxYamlDepth)
      throw Refusal(mark, "nested deeper than " + std::to_string(kMaxYamlDepth) + " levels");
    open_.push_back(&add(mark, kind));
  }

  YamlNode root_;
  std::vector<YamlNode*>
      open_;  // outermost first; one of them gets no sibling while it is open, so it stays where it is
  std::optional<std::string> key_;  // waits for its value
  std::size_t key_line_ = 1;
  std::size_t count_ = 0;
};

Failure refuse(int line, std::string_view reason) {
  return fail(ErrorKind::malformed, std::to_string(line_of(line)) + ": " + std::string(reason));
}

// What yaml-cpp quotes from the text stands behind a colon; it is left out.
std::string without_quotation(const std::string& message) {
  return sanitize(std::string_view(message).substr(0, message.find(':')));
}

}  // namespace

Result<YamlNode> parse_yaml(std::string_view text) {
  TreeBuilder builder;
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    if (!parser.HandleNextDocument(builder)) return YamlNode{};
    TreeBuilder second;
    if (parser.HandleNextDocument(second)) return refuse(0, "more than one document");
  } catch (const Refusal& refusal) {
    return refuse(refusal.line(), refusal.what());
  } catch (const YAML::Exception& error) {
    return refuse(error.mark.line, "not YAML: " + without_quotation(error.msg));
  } catch (const std::exception&) {
    return refuse(0, "not YAML");
  }
  return std::move(builder.root());
}

}  // namespace defused

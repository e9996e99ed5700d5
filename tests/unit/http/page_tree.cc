// SPDX-License-Identifier: Apache-2.0
#include "page_tree.h"

#include <algorithm>
#include <set>
#include <sstream>
#include <stdexcept>

namespace defused::test {

namespace {

const std::set<std::string> kSingle = {"meta", "link", "br", "hr", "img", "input"};
const std::set<std::string> kNotInParagraph = {"p",       "div", "ul", "ol", "dl", "table", "section",
                                               "article", "h1",  "h2", "h3", "h4", "pre"};
// A child that only these parents may have.
const std::map<std::string, std::set<std::string>> kParents = {
    {"li", {"ul", "ol"}},   {"dt", {"dl", "div"}},  {"dd", {"dl", "div"}},  {"tr", {"thead", "tbody"}},
    {"td", {"tr"}},         {"th", {"tr"}},         {"thead", {"table"}},   {"tbody", {"table"}},
    {"caption", {"table"}}, {"rect", {"svg", "g"}}, {"path", {"svg", "g"}}, {"text", {"svg", "g"}},
    {"desc", {"svg"}},      {"main", {"body"}},     {"body", {"html"}},     {"head", {"html"}}};

class Parser {
 public:
  explicit Parser(const std::string& page) : page_(page) {}

  std::unique_ptr<Node> parse() {
    const std::string type = "<!doctype html>\n";
    if (page_.rfind(type, 0) != 0) fail("no document type");
    at_ = type.size();
    auto root = std::make_unique<Node>();
    open_ = {root.get()};
    while (at_ < page_.size()) step();
    if (open_.size() != 1) fail("<" + open_.back()->tag + "> is not closed");
    if (root->find("html").size() != 1) fail("not one html element");
    check_references(*root);
    return root;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw std::runtime_error(what + " at: " + page_.substr(at_ > 60 ? at_ - 60 : 0, 120));
  }

  void step() {
    if (page_[at_] != '<') return add_text(page_.substr(at_, page_.find('<', at_) - at_));
    const std::size_t end = page_.find('>', at_);
    if (end == std::string::npos) fail("a tag without end");
    const std::string tag = page_.substr(at_ + 1, end - at_ - 1);
    if (!tag.empty() && tag[0] == '/') return close(tag.substr(1), end);
    open(tag, end);
  }

  void close(const std::string& tag, std::size_t end) {
    if (open_.back()->tag != tag) fail("</" + tag + "> closes <" + open_.back()->tag + ">");
    if (open_.size() == 1) fail("closed too often");
    open_.pop_back();
    at_ = end + 1;
  }

  void open(const std::string& inside, std::size_t end) {
    auto node = std::make_unique<Node>();
    std::size_t i = 0;
    while (i < inside.size() && std::isalnum(static_cast<unsigned char>(inside[i])) != 0) node->tag += inside[i++];
    if (node->tag.empty()) fail("not a tag");
    while (i < inside.size()) add_attribute(*node, inside, i);
    check_place(*node);
    Node* const raw = node.get();
    open_.back()->children.push_back(std::move(node));
    at_ = end + 1;
    if (raw->tag == "style") return take_style(*raw);
    if (kSingle.count(raw->tag) == 0) open_.push_back(raw);
  }

  void add_attribute(Node& node, const std::string& inside, std::size_t& i) {
    if (inside[i++] != ' ') fail("no space before an attribute");
    std::string name;
    while (i < inside.size() && inside[i] != '=') name += inside[i++];
    if (name.empty() || name.find_first_of(" \"'<>/") != std::string::npos) fail("attribute '" + name + "'");
    if (inside.substr(i, 2) != "=\"") fail("attribute '" + name + "' without quotes");
    const std::size_t quote = inside.find('"', i + 2);
    if (quote == std::string::npos) fail("attribute '" + name + "' without end");
    if (!node.attributes.emplace(name, unescape(inside.substr(i + 2, quote - i - 2))).second) fail("twice: " + name);
    i = quote + 1;
    if (name == "id" && !ids_.insert(node.attributes[name]).second) fail("id twice: " + node.attributes[name]);
  }

  void check_place(const Node& node) {
    const auto parents = kParents.find(node.tag);
    const std::string& parent = open_.back()->tag;
    if (parents != kParents.end() && parents->second.count(parent) == 0) fail("<" + node.tag + "> in <" + parent + ">");
    const bool in_paragraph = std::any_of(open_.begin(), open_.end(), [](const Node* it) { return it->tag == "p"; });
    if (in_paragraph && kNotInParagraph.count(node.tag) > 0) fail("<" + node.tag + "> in a paragraph");
    if ((parent == "ul" || parent == "ol") && node.tag != "li") fail("<" + node.tag + "> in a list");
  }

  // Raw text: a browser looks for the end tag and for nothing else.
  void take_style(Node& style) {
    const std::size_t end = page_.find("</style>", at_);
    if (end == std::string::npos) fail("a style without end");
    style.text = page_.substr(at_, end - at_);
    if (style.text.find('<') != std::string::npos) fail("'<' in a style");
    at_ = end + 8;
  }

  void add_text(const std::string& raw) {
    auto node = std::make_unique<Node>();
    node->text = unescape(raw);
    at_ += raw.size();
    open_.back()->children.push_back(std::move(node));
  }

  [[nodiscard]] std::string unescape(const std::string& raw) const {
    static const std::map<std::string, char> kEntities = {
        {"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&#39;", '\''}};
    std::string out;
    for (std::size_t i = 0; i < raw.size(); ++i) {
      if (raw[i] == '<' || raw[i] == '>') fail("a bare bracket");
      if (raw[i] != '&') {
        out += raw[i];
        continue;
      }
      const std::string entity = raw.substr(i, raw.find(';', i) - i + 1);
      const auto found = kEntities.find(entity);
      if (found == kEntities.end()) fail("a bare '&'");
      out += found->second;
      i += entity.size() - 1;
    }
    return out;
  }

  // NOLINTNEXTLINE(misc-no-recursion): as deep as the page
  void check_references(const Node& node) const {
    for (const auto& [name, value] : node.attributes) {
      if (name == "href" && value.rfind('#', 0) == 0 && ids_.count(value.substr(1)) == 0)
        throw std::runtime_error("a link to nothing: " + value);
      if (name != "aria-labelledby") continue;
      std::istringstream names(value);
      for (std::string id; names >> id;) {
        if (ids_.count(id) == 0) throw std::runtime_error("a label that is not there: " + id);
      }
    }
    for (const auto& child : node.children) check_references(*child);
  }

  const std::string& page_;
  std::size_t at_ = 0;
  std::vector<Node*> open_;
  std::set<std::string> ids_;
};

bool matches(const Node& node, std::string_view selector) {
  const std::size_t mark = selector.find_first_of(".#");
  const std::string tag(selector.substr(0, mark));
  if (!tag.empty() && node.tag != tag) return false;
  if (mark == std::string_view::npos) return true;
  const std::string wanted(selector.substr(mark + 1));
  if (selector[mark] == '#') return node.attribute("id") == wanted;
  std::istringstream classes(node.attribute("class"));
  for (std::string name; classes >> name;) {
    if (name == wanted) return true;
  }
  return false;
}

// NOLINTNEXTLINE(misc-no-recursion): as deep as the page
void collect(const Node& node, std::string_view selector, std::vector<const Node*>& out) {
  for (const auto& child : node.children) {
    if (!child->tag.empty() && matches(*child, selector)) out.push_back(child.get());
    collect(*child, selector, out);
  }
}

// NOLINTNEXTLINE(misc-no-recursion): as deep as the page
void gather(const Node& node, std::string& out) {
  out += node.tag == "style" ? "" : node.text;
  for (const auto& child : node.children) gather(*child, out);
  static const std::set<std::string> kInline = {"bdi", "code", "strong", "span", "a", "mark", "time"};
  if (kInline.count(node.tag) == 0 && !node.tag.empty()) out += ' ';
}

}  // namespace

std::string Node::all_text() const {
  std::string raw;
  gather(*this, raw);
  std::istringstream words(raw);
  std::string out;
  for (std::string word; words >> word;) out += (out.empty() ? "" : " ") + word;
  return out;
}

std::vector<const Node*> Node::find(std::string_view selector) const {
  std::vector<const Node*> out;
  collect(*this, selector, out);
  return out;
}

const Node& Node::one(std::string_view selector) const {
  const auto found = find(selector);
  if (found.size() != 1) {
    throw std::runtime_error(std::to_string(found.size()) + " elements " + std::string(selector) + " in <" + tag + ">");
  }
  return *found.front();
}

std::string Node::attribute(const std::string& name) const {
  const auto found = attributes.find(name);
  return found == attributes.end() ? "" : found->second;
}

std::unique_ptr<Node> parse_page(const std::string& page) { return Parser(page).parse(); }

}  // namespace defused::test

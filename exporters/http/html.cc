// SPDX-License-Identifier: Apache-2.0
#include "exporters/http/html.h"

#include <array>

#include "base/text.h"

namespace defused {

namespace {

constexpr std::array<std::string_view, 12> kOwnLine = {"section", "p",  "h1", "h2", "h3", "dl",
                                                       "dt",      "li", "tr", "ul", "ol", "table"};

bool stands_alone(std::string_view tag) {
  for (const std::string_view own : kOwnLine) {
    if (own == tag) return true;
  }
  return false;
}

}  // namespace

std::string escape_html(std::string_view raw) {
  const std::string text = sanitize(raw, std::string::npos);
  std::string out;
  out.reserve(text.size() + text.size() / 8);
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default: out += c;
    }
  }
  return out;
}

Html::Html() : out_("<!doctype html>\n") {}

Html::Element::~Element() {
  html_.out_ += "</";
  html_.out_ += tag_;
  html_.out_ += stands_alone(tag_) ? ">\n" : ">";
}

void Html::start(std::string_view tag, Attributes attributes) {
  out_ += '<';
  out_ += tag;
  for (const Attribute& attribute : attributes) {
    out_ += ' ';
    out_ += attribute.name;
    out_ += "=\"";
    out_ += escape_html(attribute.value);
    out_ += '"';
  }
  out_ += '>';
}

Html::Element Html::open(std::string_view tag, Attributes attributes) {
  start(tag, attributes);
  return {*this, tag};
}

void Html::leaf(std::string_view tag, std::string_view text, Attributes attributes) {
  const Element element = open(tag, attributes);
  this->text(text);
}

void Html::single(std::string_view tag, Attributes attributes) { start(tag, attributes); }

void Html::prose(std::string_view text) {
  while (!text.empty()) {
    const std::size_t from = text.find('`');
    const std::size_t to = from == std::string_view::npos ? from : text.find('`', from + 1);
    if (to == std::string_view::npos) return this->text(text);
    this->text(text.substr(0, from));
    leaf("code", text.substr(from + 1, to - from - 1));
    text.remove_prefix(to + 1);
  }
}

void Html::name(std::string_view text) { leaf("bdi", text); }

void Html::style(std::string_view sheet) {
  const Element element = open("style");
  out_ += sheet;
}

}  // namespace defused

// SPDX-License-Identifier: Apache-2.0
#include "exporters/http/html.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>

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

struct Range {
  std::uint32_t first;
  std::uint32_t last;
};

// What has no shape of its own: Unicode's Default_Ignorable_Code_Point, the marks that turn the direction of writing or
// end a line, those of interlinear annotation, and the blank of Braille. In order.
constexpr auto kUnseen = std::to_array<Range>({{0x00AD, 0x00AD},
                                               {0x034F, 0x034F},
                                               {0x061C, 0x061C},
                                               {0x115F, 0x1160},
                                               {0x17B4, 0x17B5},
                                               {0x180B, 0x180F},
                                               {0x200B, 0x200F},
                                               {0x2028, 0x202E},
                                               {0x2060, 0x206F},
                                               {0x2800, 0x2800},
                                               {0x3164, 0x3164},
                                               {0xFE00, 0xFE0F},
                                               {0xFEFF, 0xFEFF},
                                               {0xFFA0, 0xFFA0},
                                               {0xFFF0, 0xFFFB},
                                               {0x1BCA0, 0x1BCA3},
                                               {0x1D173, 0x1D17A},
                                               {0xE0000, 0xE0FFF}});

bool is_unseen(std::uint32_t code) {
  return std::any_of(kUnseen.begin(), kUnseen.end(),
                     [&](const Range& range) { return code >= range.first && code <= range.last; });
}

std::size_t length_of(unsigned char first) { return first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4; }

// `character` is one of valid UTF-8.
std::uint32_t code_of(std::string_view character) {
  constexpr std::array<std::uint32_t, 5> kFirst = {0, 0x7F, 0x1F, 0x0F, 0x07};
  std::uint32_t code = static_cast<unsigned char>(character[0]) & kFirst[character.size()];
  for (const char byte : character.substr(1)) code = (code << 6U) + (static_cast<unsigned char>(byte) & 0x3FU);
  return code;
}

void add_code_point(std::string& out, std::uint32_t code) {
  std::array<char, 16> text{};
  std::snprintf(text.data(), text.size(), code > 0xFFFF ? "\\U%08x" : "\\u%04x", code);
  out += text.data();
}

}  // namespace

std::string escape_html(std::string_view raw) {
  const std::string text = sanitize(raw, std::string::npos);
  std::string out;
  out.reserve(text.size() + text.size() / 8);
  for (std::size_t i = 0; i < text.size(); ++i) {
    switch (const char c = text[i]; c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default: {
        const std::string_view character = std::string_view(text).substr(i, length_of(static_cast<unsigned char>(c)));
        const std::uint32_t code = code_of(character);
        if (is_unseen(code)) {
          add_code_point(out, code);
        } else {
          out += character;
        }
        i += character.size() - 1;
      }
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

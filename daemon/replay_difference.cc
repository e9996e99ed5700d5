// SPDX-License-Identifier: Apache-2.0
#include "daemon/replay_difference.h"

#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/text.h"
#include "model/codec.h"

namespace defused {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMaxShown = 3;

// What was concluded, by the name of what it was concluded of.
using Conclusions = std::map<std::string, std::string>;

// Of an object of a report, whatever it is: as text.
std::string text_of(const Json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  if (!object.is_object() || found == object.end() || found->is_null()) return {};
  // No deeper than a list of numbers or words: a report of our own has nothing else here.
  if (found->is_array()) {
    std::string list;
    for (const Json& item : *found) {
      const std::string text = item.is_string() ? item.get<std::string>() : item.is_number() ? item.dump() : "";
      if (!text.empty()) list += (list.empty() ? "" : ", ") + text;
    }
    return list;
  }
  return found->is_string() ? found->get<std::string>() : found->is_number() ? found->dump() : std::string();
}

bool is_true(const Json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  return object.is_object() && found != object.end() && found->is_boolean() && found->get<bool>();
}

const Json& list_of(const Json& report, const char* key) {
  static const Json kNone = Json::array();
  const auto found = report.find(key);
  return found == report.end() || !found->is_array() ? kNone : *found;
}

// What is said of the whole host, as far as the report says it: those of older versions say less.
Conclusions facts_of(const Json& report) {
  Conclusions out;
  if (report.contains("provisional")) out["the report"] = is_true(report, "provisional") ? "provisional" : "final";
  if (report.contains("blind")) {
    const std::string blind = text_of(report, "blind");
    out["what could not be seen"] = blind.empty() ? "nothing" : blind;
  }
  if (report.contains("pid_namespace_count")) {
    out["the number of PID namespaces"] = text_of(report, "pid_namespace_count");
  }
  for (const auto& [key, name] : {std::pair("pid_namespaces", "the number of dying PID namespaces"),
                                  std::pair("stuck_exits", "the number of stuck threads elsewhere")}) {
    const auto found = report.find(key);
    if (found != report.end() && found->is_array()) out[name] = std::to_string(found->size());
  }
  return out;
}

Conclusions conclusions_of(const Json& report, bool with_decisions) {
  Conclusions out;
  for (const Json& finding : list_of(report, "pid_namespaces")) {
    std::string& text = out["PID namespace " + text_of(finding, "pid_namespace")];
    text = text_of(finding, "verdict");
    if (is_true(finding, "stuck")) text += ", stuck";
    if (const std::string ids = text_of(finding, "connections"); !ids.empty()) text += " by connection " + ids;
    const auto decision = finding.is_object() ? finding.find("decision") : finding.end();
    if (with_decisions && finding.is_object() && decision != finding.end()) text += ", " + text_of(*decision, "action");
  }
  for (const Json& thread : list_of(report, "stuck_exits")) {
    std::string& text = out["thread " + text_of(thread, "tid")];
    text = text_of(thread, "verdict");
    if (const std::string id = text_of(thread, "connection"); !id.empty()) text += " by connection " + id;
  }
  return out;
}

}  // namespace

std::string find_difference(std::string_view recorded, const Report& report) {
  const Json then = Json::parse(recorded, nullptr, /*allow_exceptions=*/false);
  if (then.is_discarded() || !then.is_object()) return {};
  const Json now = Json::parse(render_report_json(report, ExposeSource::hidden));
  const bool same_mode = text_of(then, "mode") == text_of(now, "mode");
  const Conclusions before = conclusions_of(then, same_mode);
  const Conclusions after = conclusions_of(now, same_mode);
  std::string out;
  std::size_t shown = 0;
  const auto tell = [&](const std::string& name, const std::string& was, const std::string& is) {
    if (was == is || ++shown > kMaxShown) return;
    const auto quoted = [](const std::string& text) {
      return text.empty() ? std::string("not told") : "'" + sanitize(text) + "'";
    };
    out += (out.empty() ? "" : "; ") + sanitize(name) + " was " + quoted(was) + " and is " + quoted(is);
  };
  for (const auto& [name, was] : before) {
    const auto found = after.find(name);
    tell(name, was, found == after.end() ? std::string() : found->second);
  }
  for (const auto& [name, is] : after) {
    if (before.count(name) == 0) tell(name, {}, is);
  }
  const Conclusions facts = facts_of(now);
  // Which ones there are says more than how many.
  const bool told = shown > 0;
  for (const auto& [name, was] : facts_of(then)) {
    const bool counted = name.rfind("the number of", 0) == 0;
    if (!(told && counted)) tell(name, was, facts.at(name));
  }
  if (shown > kMaxShown) out += "; and " + std::to_string(shown - kMaxShown) + " more";
  return out;
}

}  // namespace defused

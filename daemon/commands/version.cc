// SPDX-License-Identifier: Apache-2.0
// `defused version`: its own line first, which is what scripts take; then what this kernel has.
#include <unistd.h>
#include <version.h>

#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "daemon/build_identity.h"
#include "daemon/commands/commands.h"
#include "daemon/commands/look.h"
#include "daemon/exit_codes.h"
#include "daemon/kernel_features.h"
#include "daemon/terminal.h"
#include "daemon/text_page.h"

namespace defused {

namespace {

struct Feature {
  const char* name;  ///< of the JSON member
  std::optional<bool> KernelFeatures::*value;
  const char* words;
};

constexpr std::array<Feature, 12> kFeatures = {{
    {"openat2", &KernelFeatures::openat2, "reads that cannot leave /proc in one call"},
    {"pidfd", &KernelFeatures::pidfd, "children known by a descriptor"},
    {"fdinfo_fuse_connection", &KernelFeatures::fdinfo_fuse_connection, "/proc says whose /dev/fuse is whose"},
    {"stacks", &KernelFeatures::stacks, "kernel stacks can be read"},
    {"sched", &KernelFeatures::sched, "/proc says since when a thread sleeps"},
    {"btf", &KernelFeatures::btf, "the kernel describes its types for BPF"},
    {"bpf_files", &KernelFeatures::bpf_files, "BPF says who has FUSE files open"},
    {"bpf_waits", &KernelFeatures::bpf_waits, "BPF says for which connection a thread waits"},
    {"bpf_places", &KernelFeatures::bpf_places, "BPF says in which mount namespace a thread is"},
    {"fuse_flush_waits", &KernelFeatures::fuse_flush_waits, "an exiting thread waits for its FUSE server"},
    {"fusectl_mounted", &KernelFeatures::fusectl_mounted, "connections can be seen and aborted"},
    {"landlock", &KernelFeatures::landlock, "the front is confined to its files"},
}};

const char* in_words(std::optional<bool> value) { return !value ? "not known" : *value ? "yes" : "no"; }

std::string timeout_in_words(const KernelFeatures& features) {
  if (!features.default_request_timeout_seconds && !features.max_request_timeout_seconds) return "no such setting";
  const auto seconds = [](std::optional<std::uint64_t> value) {
    return value ? *value == 0 ? "none" : std::to_string(*value) + " s" : "not known";
  };
  return "default " + seconds(features.default_request_timeout_seconds) + ", at most " +
         seconds(features.max_request_timeout_seconds);
}

// Wide enough for what a feature is good for to stand beside it.
constexpr std::size_t kWide = 80;

std::string render_line(std::string name, std::string value, const std::string& words, const Screen& screen) {
  constexpr std::size_t kName = 24;
  constexpr std::size_t kValue = 11;
  const std::size_t width = text_width(screen, std::string::npos);
  if (width < kWide) {
    return wrap_text(name + ": " + value, width, 2, 4) + (words.empty() ? "" : wrap_text(words, width, 4, 4));
  }
  name.resize(kName, ' ');
  if (words.empty()) return wrap_text(name + value, width, 2, 2 + kName);
  value.resize(kValue, ' ');
  return wrap_text(name + value + words, width, 2, 2 + kName + kValue);
}

std::string render_text(const KernelFeatures& features, const Screen& screen) {
  const std::size_t width = text_width(screen, std::string::npos);
  std::string out =
      wrap_text(std::string("defused ") + kVersion + " (" + kRevision + ", " + kCompiler + ")", width, 0, 2) +
      wrap_text("Linux " + features.release + (has_bpf_built_in() ? ", built with BPF" : ", built without BPF"), width,
                0, 2);
  for (const Feature& feature : kFeatures) {
    out += render_line(feature.name, in_words(features.*feature.value), feature.words, screen);
  }
  return out + render_line("fuse_request_timeout", timeout_in_words(features), "", screen);
}

template <typename T>
nlohmann::ordered_json or_null(const std::optional<T>& value) {
  return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json(nullptr);
}

std::string render_json(const KernelFeatures& features) {
  nlohmann::ordered_json kernel;
  kernel["release"] = features.release;
  for (const Feature& feature : kFeatures) kernel[feature.name] = or_null(features.*feature.value);
  kernel["default_request_timeout_seconds"] = or_null(features.default_request_timeout_seconds);
  kernel["max_request_timeout_seconds"] = or_null(features.max_request_timeout_seconds);
  nlohmann::ordered_json out;
  out["schema"] = "defused.version/v1";
  out["version"] = kVersion;
  out["revision"] = kRevision;
  out["compiler"] = kCompiler;
  const std::string id = read_build_id();
  out["build_id"] = id.empty() ? nlohmann::ordered_json(nullptr) : nlohmann::ordered_json(id);
  out["bpf_built_in"] = has_bpf_built_in();
  out["kernel"] = std::move(kernel);
  constexpr int kIndent = 2;
  return out.dump(kIndent) + "\n";
}

}  // namespace

int version_command(const VersionOptions& options) {
  const KernelFeatures features = read_kernel_features();
  return print(options.json ? render_json(features) : render_text(features, look_at_screen(STDOUT_FILENO)), kExitOk);
}

}  // namespace defused

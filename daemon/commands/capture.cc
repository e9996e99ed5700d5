// SPDX-License-Identifier: Apache-2.0
// `defused capture`: a look as `scan` takes it, with all that it was read from, as one archive.
#include <unistd.h>

#include <functional>
#include <iostream>
#include <limits>
#include <optional>

#include "base/text.h"
#include "base/tree_archive.h"
#include "daemon/blocked_signals.h"
#include "daemon/capture_file.h"
#include "daemon/capture_tree.h"
#include "daemon/commands/commands.h"
#include "daemon/commands/look.h"
#include "daemon/exit_codes.h"
#include "daemon/render_table.h"
#include "daemon/terminal.h"
#include "daemon/text_page.h"
#include "model/sentences.h"

namespace defused {

namespace {

constexpr const char* kStandardOutput = "-";
constexpr std::size_t kMaxShownPath = 4096;  // of a path, in bytes

bool goes_to_standard_output(const CaptureOptions& options) { return options.output == kStandardOutput; }

// What can be known to be wrong before this host is looked at.
Result<void> check_output(const CaptureOptions& options) {
  if (goes_to_standard_output(options)) {
    if (isatty(STDOUT_FILENO) == 0) return {};
    return fail(ErrorKind::malformed, "an archive is not for a terminal: name a FILE, or send it into a pipe");
  }
  return options.output ? check_capture_path(*options.output, options.force) : Result<void>{};
}

std::string describe_bytes(std::uint64_t bytes) {
  constexpr std::uint64_t kKibi = 1024;
  return bytes < kKibi * kKibi ? std::to_string((bytes + kKibi - 1) / kKibi) + " KiB"
                               : std::to_string(bytes / kKibi / kKibi) + " MiB";
}

std::string describe_size(const CaptureSize& size) {
  return count_of(size.looks, "look", "looks") + ", " + count_of(size.processes, "process", "processes") + ", " +
         count_of(size.connections, "FUSE connection", "FUSE connections");
}

std::string say(const std::string& text, const Screen& screen) {
  return wrap_text(text, text_width(screen, std::string::npos), 0, 2);
}

// What is not in it although it might be missed, a sentence each.
std::string describe_missing(const CaptureSize& size, const CaptureOptions& options, const Screen& screen) {
  std::string out;
  if (size.looks < options.look.samples) {
    out += say("only " + count_of(size.looks, "look", "looks") + " of " + std::to_string(options.look.samples) +
                   " could be taken",
               screen);
  }
  if (size.unreadable > 0) {
    out += say(count_of(size.unreadable, "file", "files") + " could not be read: they are named in it, in `errors`",
               screen);
  }
  if (size.left_out > 0) out += say(count_of(size.left_out, "reading", "readings") + " did not fit", screen);
  if (size.dropped > 0) {
    out += say(count_of(size.dropped, "file", "files") + " left out: it is not known which names are in them", screen);
  }
  return out;
}

// The command is to be copied, so it stays on one line.
std::string describe_replay(const std::string& path, const Screen& screen) {
  const std::string before = "to diagnose it, on any host:";
  const std::string command = "defused replay " + path;
  const bool fits = screen.width == 0 || count_columns(before) + 1 + count_columns(command) <= screen.width;
  return before + (fits ? " " : "\n    ") + command + "\n";
}

using Stop = std::function<bool()>;

Result<CaptureTree> make(Look look, const CaptureOptions& options, const Stop& stop) {
  CaptureInput input{std::move(look.looks), std::move(look.pass.report), std::move(look.settings), options.all};
  return options.redact ? make_redacted_capture(std::move(input), stop) : make_capture(std::move(input));
}

int write_to_standard_output(const CaptureTree& made, const CaptureOptions& options) {
  const Screen errors = look_at_screen(STDERR_FILENO);
  constexpr auto kAny = std::numeric_limits<std::uint64_t>::max();
  const auto written = write_tree_archive(made.tree, made.time, false, STDOUT_FILENO, kAny);
  if (!written) return refuse(kExitFailure, "standard output: " + written.error().message);
  std::cerr << describe_missing(made.size, options, errors)
            << say("wrote to standard output: " + describe_size(made.size), errors);
  return kExitOk;
}

// Where `stop` says so nothing is there and nothing is said: the signal ends us.
int write(const CaptureTree& made, const CaptureOptions& options, const std::string& host, const Stop& stop) {
  const std::string path =
      options.output ? *options.output : default_capture_path(options.redact ? "redacted" : host, made.time);
  const auto size = write_capture_file(made.tree, made.time, path, options.force, stop);
  if (!size && stop()) return kExitFailure;
  if (!size) return refuse(exit_code_of_file(size.error()), size.error().message);
  std::cerr << describe_missing(made.size, options, look_at_screen(STDERR_FILENO));
  const Screen screen = look_at_screen(STDOUT_FILENO);
  const std::string shown = sanitize(path, kMaxShownPath);
  return print(say("wrote " + shown + ": " + describe_size(made.size) + ", " + describe_bytes(*size), screen) +
                   describe_replay(shown, screen),
               kExitOk);
}

}  // namespace

int capture_command(const CaptureOptions& options) {
  if (geteuid() == 0) {
    // A name that cannot be one is wrong in every way that a kernel can say it.
    if (auto checked = check_output(options); !checked) return refuse(kExitUsage, checked.error().message);
  }
  Wish wish;
  wish.whole_index = true;
  wish.recording = options.all ? Recording::all : Recording::candidates;
  auto taken = take_look("capture", options.look, Mode::observe, wish);
  if (const int* code = std::get_if<int>(&taken)) return *code;
  Look& look = std::get<Look>(taken);
  if (look.looks.empty()) return refuse(kExitFailure, "no look at this host was finished, so there is nothing to keep");
  const std::string host = look.pass.report.host;
  std::cerr << render_blindness(look.pass.report, look_at_screen(STDERR_FILENO));
  std::optional<BlockedSignals> held(std::in_place);
  const Stop stop = [&held] { return held->came(); };
  const auto made = make(std::move(look), options, stop);
  if (stop()) return kExitFailure;  // the signal ends us as `held` goes
  if (!made) return refuse(kExitFailure, made.error().message);
  if (!goes_to_standard_output(options)) return write(*made, options, host, stop);
  held.reset();  // nothing is left behind, and a pipe may be full for ever
  return write_to_standard_output(*made, options);
}

}  // namespace defused

// SPDX-License-Identifier: Apache-2.0
// defused-lab make FORM [options]: makes a real FUSE deadlock (or its healthy, hostile and hanging relatives) in a PID
// and mount namespace of its own, prints one line of JSON that says what is true, and ends it on TERM, INT, end of
// standard input or after --seconds. A guardian ends it where this program cannot. Exit: 0 cleaned, 77 not permitted
// here, 1 failed or something is left (then with its kernel stacks), 2 usage.
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <memory>
#include <string>
#include <string_view>

#include "situation.h"

namespace {

using lab::Options;
using lab::Situation;
using lab::Truth;

constexpr std::array<std::string_view, 7> kForms = {"flush_leader", "flush_thread", "server_pid1", "healthy",
                                                    "hostile",      "hang_reader",  "tar_pit"};

// Every byte that is not plain ASCII as \u00XX.
std::string json_string(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    std::array<char, 8> escaped{};
    if (byte < 0x20 || byte >= 0x7f || c == '"' || c == '\\') {
      std::snprintf(escaped.data(), escaped.size(), "\\u%04x", byte);
      out += escaped.data();
    } else {
      out += c;
    }
  }
  return out + "\"";
}

void print_truth(const Options& options, const Truth& truth) {
  std::string hangs;
  for (const std::string& path : truth.hangs) hangs += (hangs.empty() ? "" : ", ") + json_string(path);
  std::printf(
      "{\"form\": %s, \"pid_namespace\": %llu, \"init\": {\"pid\": %d, \"start_ticks\": %llu}, \"state\": %s, "
      "\"blocked\": {\"pid\": %d, \"tid\": %d}, \"connection\": %ld, \"waiting\": %ld, \"fstype\": %s, "
      "\"mount_point\": %s, \"pid\": %d, \"hangs\": [%s], \"swallow\": %s}\n",
      json_string(options.form).c_str(), static_cast<unsigned long long>(truth.pid_namespace), truth.init,
      static_cast<unsigned long long>(truth.init_start), json_string(truth.state).c_str(), truth.blocked_pid,
      truth.blocked_tid, truth.connection, truth.waiting, json_string("fuse." + options.fstype).c_str(),
      json_string(truth.mount_point).c_str(), truth.blocked_pid, hangs.c_str(), json_string(truth.swallow).c_str());
  std::fflush(stdout);
}

bool parse_seconds(std::string_view text, int& seconds) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  return error == std::errc() && end == text.data() + text.size() && seconds > 0;
}

bool take_option(Options& options, std::string_view name, const char* value) {
  if (name == "--fstype")
    options.fstype = value;
  else if (name == "--source")
    options.source = value;
  else if (name == "--mount-name")
    options.mount_point = value;
  else if (name == "--comm")
    options.comm = value;
  else if (name == "--work-dir")
    options.work_directory = value;
  else
    return name == "--seconds" && parse_seconds(value, options.seconds);
  return true;
}

bool parse(int argc, char** argv, Options& options) {
  if (argc < 3 || std::strcmp(argv[1], "make") != 0) return false;
  options.form = argv[2];
  bool known = false;
  for (const std::string_view form : kForms) known = known || form == options.form;
  for (int i = 3; i < argc; i += 2) {
    if (i + 1 == argc || !take_option(options, argv[i], argv[i + 1])) return false;
  }
  return known;
}

// As far as each can hold them: comm has 15 bytes, a path no '/'.
void make_hostile(Options& options) {
  options.comm = "\xff\x1b\"'\\\n<script>";
  options.fstype = "x\xff\x1b\"'\\\n<script>";
  options.source = "s\xff\x1b\"'\\\n<script>alert(1)<|script>\u202egnp\u200b";
  options.mount_point = "m\xff\x1b\"'\\\n<script>";
}

// Commands on standard input until an end is asked for.
void serve(const Options& options, Situation& situation, int signals) {
  const std::time_t end = std::time(nullptr) + options.seconds;
  while (std::time(nullptr) < end) {
    std::array<pollfd, 2> ready = {{{STDIN_FILENO, POLLIN, 0}, {signals, POLLIN, 0}}};
    poll(ready.data(), ready.size(), 1000);
    if (ready[1].revents != 0) return;
    if (ready[0].revents == 0) continue;
    std::array<char, 64> line{};
    if (read(STDIN_FILENO, line.data(), line.size() - 1) <= 0) return;
    std::string_view rest(line.data());
    for (auto at = rest.find("read\n"); at != std::string_view::npos; at = rest.find("read\n")) {
      std::printf("{\"read\": \"%s\"}\n", situation.read_again() ? "ok" : "failed");
      std::fflush(stdout);
      rest.remove_prefix(at + 1);
    }
  }
}

int make(const Options& options, int signals) {
  constexpr int kTries = 30;  // which thread closes the files last is in the end up to the scheduler
  for (int i = 0; i < kTries; ++i) {
    Situation situation(options);
    const bool made = situation.make();
    const bool as_asked = made && situation.stands_as_asked();
    if (!made) std::fprintf(stderr, "defused-lab: %s\n", situation.error().c_str());
    if (as_asked) {
      print_truth(options, situation.truth());
      serve(options, situation, signals);
    }
    const std::string left = situation.end();
    if (!left.empty()) std::fprintf(stderr, "defused-lab: this is left:\n%s", left.c_str());
    if (!made || as_asked || !left.empty()) return made && left.empty() ? 0 : situation.unsupported() ? 77 : 1;
  }
  std::fprintf(stderr, "defused-lab: in %d tries it never stood in the way asked for\n", kTries);
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (!parse(argc, argv, options)) {
    std::fprintf(stderr,
                 "usage: defused-lab make FORM [--fstype T] [--source S] [--mount-name N] [--comm C] [--work-dir D]\n"
                 "                             [--seconds N]\n"
                 "forms: flush_leader flush_thread server_pid1 healthy hostile hang_reader tar_pit\n");
    return 2;
  }
  if (geteuid() != 0 || access("/dev/fuse", R_OK | W_OK) != 0) {
    std::fprintf(stderr, "defused-lab: needs root and /dev/fuse\n");
    return 77;
  }
  if (options.form == "hostile") make_hostile(options);
  sigset_t wanted;
  sigemptyset(&wanted);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&wanted, number);
  sigprocmask(SIG_BLOCK, &wanted, nullptr);
  signal(SIGPIPE, SIG_IGN);
  return make(options, signalfd(-1, &wanted, SFD_CLOEXEC));
}

// SPDX-License-Identifier: Apache-2.0
// defused-inject PID PATH [--no-wait]: prints {"result": N}, N being what openat returned over there.
// defused-inject PID PATH --phase NAME [--nth N] [--of-child] [--of-reader] [--seconds N] [--kill PID]..: see ambush.h;
// prints "waiting" and then {"caught": PID}.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "ambush.h"
#include "inject.h"

namespace {

std::optional<long> number(const std::string& text) {
  char* end = nullptr;
  const long value = std::strtol(text.c_str(), &end, 10);
  return text.empty() || *end != '\0' || value <= 0 ? std::nullopt : std::optional(value);
}

struct Order {
  bool wait = true;
  bool good = true;
  lab::Ambush ambush;
};

Order parse(const std::vector<std::string>& words) {
  Order order;
  lab::Ambush& ambush = order.ambush;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const auto next = [&] { return i + 1 < words.size() ? words[++i] : std::string(); };
    if (words[i] == "--no-wait") {
      order.wait = false;
    } else if (words[i] == "--of-child") {
      ambush.of_child = true;
    } else if (words[i] == "--of-reader") {
      ambush.of_reader = true;
    } else if (words[i] == "--kill") {
      const auto victim = number(next());
      order.good = order.good && victim;
      ambush.kill.push_back(static_cast<pid_t>(victim.value_or(0)));
    } else if (words[i] == "--phase") {
      ambush.phase = next();
    } else if (words[i] == "--nth" || words[i] == "--seconds") {
      unsigned& value = words[i] == "--nth" ? ambush.nth : ambush.seconds;
      const auto given = number(next());
      order.good = order.good && given;
      value = static_cast<unsigned>(given.value_or(0));
    } else {
      order.good = false;
    }
  }
  return order;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  const auto pid = words.empty() ? std::nullopt : number(words[0]);
  const Order order = words.size() < 2 ? Order{} : parse({words.begin() + 2, words.end()});
  if (!pid || words.size() < 2 || !order.good) {
    std::fprintf(stderr,
                 "usage: defused-inject PID PATH [--no-wait]\n"
                 "       defused-inject PID PATH --phase NAME [--nth N] [--of-child] [--of-reader] [--seconds N] "
                 "[--kill PID]..\n");
    return 2;
  }
  const auto target = static_cast<pid_t>(*pid);
  const bool in_phase = !order.ambush.phase.empty();
  const lab::InjectResult done = in_phase ? lab::inject_open_in_phase(target, words[1], order.ambush)
                                          : lab::inject_open(target, words[1], order.wait);
  if (!done.supported) {
    std::fprintf(stderr, "defused-inject: %s\n", done.error.c_str());
    return 77;
  }
  if (!done.error.empty()) {
    std::fprintf(stderr, "defused-inject: %s\n", done.error.c_str());
    return 1;
  }
  if (in_phase) {
    std::printf("{\"caught\": %d}\n", done.caught);
  } else {
    std::printf("{\"result\": %ld}\n", done.result.value_or(0));
  }
  return 0;
}

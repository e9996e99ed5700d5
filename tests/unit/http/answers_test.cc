// SPDX-License-Identifier: Apache-2.0
#include "exporters/http/answers.h"

#include <catch2/catch.hpp>

using namespace defused;
using namespace std::chrono_literals;

namespace {

const SteadyTime kStart = SteadyTime(1h);
constexpr std::size_t kMiB = 1U << 20U;

// "/N": N bytes, kept for a second; "/now": 8 MiB, each its own.
class Made {
 public:
  explicit Made(std::size_t max_bytes = 64 * kMiB)
      : answers(max_bytes, [this](const HttpRequest& request) {
          ++made;
          HttpResponse response;
          const bool at_once = request.path == "/now";
          response.body = std::string(at_once ? 8 * kMiB : std::stoul(request.path.substr(1)), 'x');
          if (!at_once) response.keep_for = 1s;
          return response;
        }) {}

  int made_at(const std::string& path, SteadyTime now) {
    answers.answer({path}, false, now);
    return made;
  }

  int made = 0;
  Answers answers;
};

}  // namespace

TEST_CASE("an answer is kept for as long as it says, a large one longer") {
  Made small;
  CHECK(small.made_at("/1000", kStart) == 1);
  CHECK(small.made_at("/1000", kStart + 999ms) == 1);
  CHECK(small.made_at("/1000", kStart + 1s) == 2);
  Made large;
  const std::string path = "/" + std::to_string(8 * kMiB);
  CHECK(large.made_at(path, kStart) == 1);
  CHECK(large.made_at(path, kStart + 3999ms) == 1);
  CHECK(large.made_at(path, kStart + 4s) == 2);
  large.answers.forget();
  CHECK(large.made_at(path, kStart + 4s) == 3);
  large.answers.forget_old(kStart + 7s);
  CHECK(large.made_at(path, kStart + 7s) == 3);
  Made each;
  CHECK(each.made_at("/now", kStart) == 1);
  CHECK(each.made_at("/now", kStart) == 2);
}

TEST_CASE("a body is counted once while it is sent, and one alone is sent however large") {
  Made page(4 * kMiB);
  const std::string path = "/" + std::to_string(8 * kMiB);
  Answer first = page.answers.answer({path}, false, kStart);
  REQUIRE(first.body);
  CHECK(page.answers.bytes_in_flight() == 8 * kMiB);
  CHECK(page.answers.is_short());
  Answer second = page.answers.answer({path}, false, kStart);
  CHECK(second.body);
  CHECK(page.answers.bytes_in_flight() == 8 * kMiB);
  CHECK_FALSE(page.answers.answer({"/1000"}, false, kStart).body);
  first.body.reset();
  CHECK(page.answers.bytes_in_flight() == 8 * kMiB);
  second.body.reset();
  CHECK(page.answers.bytes_in_flight() == 0);
  CHECK_FALSE(page.answers.is_short());
  CHECK(page.answers.answer({"/1000"}, false, kStart).body);
}

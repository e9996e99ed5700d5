// SPDX-License-Identifier: Apache-2.0
// Make the n-th read fail, for every n: what cannot be read may weaken a finding, never strengthen it.
#include <catch2/catch.hpp>

#include "capture_cycle.h"

using namespace defused;

namespace {

struct Fault {
  std::size_t at = 0;     // the read that fails, counted from 1; 0: none
  std::size_t count = 0;  // reads so far
  ErrorKind kind = ErrorKind::io;
};

ReadHook hook_of(Fault& fault) {
  return [&fault](std::string_view) -> std::optional<Error> {
    if (++fault.count != fault.at) return std::nullopt;
    return Error{fault.kind, "made to fail", 0};
  };
}

// The report of the third pass; the fault is counted within that pass.
Report run_with_fault(const std::string& name, Fault& fault, Mode mode) {
  ManualClock clock({10000s, 1'800'000'000s});
  const std::size_t at = std::exchange(fault.at, 0);
  const auto cycle = make_capture_cycle(name, clock, mode, hook_of(fault));
  REQUIRE(cycle);
  run_passes(*cycle, clock, 2);
  clock.advance(5s);
  fault.count = 0;
  fault.at = at;
  return cycle->run(true).report;
}

}  // namespace

TEST_CASE("a failing n-th read never makes a deadlock of a healthy capture") {
  for (const char* name : {"linux-6.18.44-healthy", "linux-6.1.192-healthy"}) {
    Fault fault;
    run_with_fault(name, fault, Mode::observe);
    const std::size_t reads = fault.count;
    REQUIRE(reads > 5);
    for (const ErrorKind kind : {ErrorKind::io, ErrorKind::gone, ErrorKind::denied}) {
      for (std::size_t n = 1; n <= reads; ++n) {
        Fault one{n, 0, kind};
        const Report report = run_with_fault(name, one, Mode::observe);
        for (const NamespaceFinding& finding : report.findings.namespaces)
          CHECK(finding.verdict != Verdict::deadlocked);
      }
    }
  }
}

TEST_CASE("a failing n-th read never gives a decision that fewer gates hold") {
  const std::string name = "linux-6.18.44-flush";
  Fault fault;
  const Report whole = run_with_fault(name, fault, Mode::observe);
  REQUIRE(whole.decisions.at(0).reasons == std::vector{Gate::mode});
  const std::size_t reads = fault.count;
  std::size_t weakened = 0;
  for (const ErrorKind kind : {ErrorKind::io, ErrorKind::denied, ErrorKind::unsupported}) {
    for (std::size_t n = 1; n <= reads; ++n) {
      CAPTURE(n, to_string(kind));
      Fault one{n, 0, kind};
      const Report report = run_with_fault(name, one, Mode::observe);
      for (const Decision& decision : report.decisions) {
        CHECK_FALSE(decision.reasons.empty());
        if (decision.reasons != std::vector{Gate::mode}) ++weakened;
      }
    }
  }
  CHECK(weakened > 10);  // the faults did bite
}

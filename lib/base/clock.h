// SPDX-License-Identifier: Apache-2.0
// Clock: where "now" comes from. Ages are counted on CLOCK_BOOTTIME, which all processes of one boot share, so that
// History may pass from one prober to the next; what people and Prometheus see is wall-clock time.
// Judges (lib/detect, lib/policy) never ask a clock: they get an Instant as a value.
#pragma once

#include <chrono>
#include <cstdint>

namespace defused {

using Nanoseconds = std::chrono::nanoseconds;

/// One moment on both clocks.
struct Instant {
  Nanoseconds boottime{0};  ///< since boot, CLOCK_BOOTTIME
  Nanoseconds wall{0};      ///< since 1970-01-01T00:00:00Z, CLOCK_REALTIME

  friend bool operator==(const Instant&, const Instant&) = default;
};

class Clock {
 public:
  Clock() = default;
  Clock(const Clock&) = delete;
  Clock& operator=(const Clock&) = delete;
  virtual ~Clock() = default;
  [[nodiscard]] virtual Instant now() const = 0;
  /// Waits for `duration`, or returns at once where time is made by hand.
  virtual void sleep(Nanoseconds duration) = 0;
};

class SystemClock final : public Clock {
 public:
  [[nodiscard]] Instant now() const override;
  void sleep(Nanoseconds duration) override;
};

/// Time as a test or a replay wants it.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(Instant start) : now_(start) {}
  [[nodiscard]] Instant now() const override { return now_; }
  void sleep(Nanoseconds duration) override { advance(duration); }
  /// Another moment: both clocks as they are given.
  void set(Instant now) { now_ = now; }
  void advance(Nanoseconds duration) {
    now_.boottime += duration;
    now_.wall += duration;
  }

 private:
  Instant now_;
};

/// Real time since it was made: for budgets of reading, which are about this machine and not about ages.
class Stopwatch {
 public:
  [[nodiscard]] Nanoseconds elapsed() const { return std::chrono::steady_clock::now() - start_; }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// Seconds as a fraction, for output.
[[nodiscard]] inline double to_seconds(Nanoseconds duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace defused

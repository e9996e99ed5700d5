// SPDX-License-Identifier: Apache-2.0
// Logger: lines to stderr, as text or JSON. One per process, passed by reference; only the daemon logs, libraries do
// not.
#pragma once

#include <memory>
#include <string_view>

#include "model/settings.h"

namespace defused {

class Logger {
 public:
  /// `process` ("supervisor", "prober", "front") stands in every line.
  Logger(const LogSettings& settings, std::string_view process);
  ~Logger();
  Logger(const Logger&) = delete;
  Logger& operator=(const Logger&) = delete;

  void debug(std::string_view line);
  void info(std::string_view line);
  void warn(std::string_view line);
  void error(std::string_view line);

 private:
  struct Backend;
  std::unique_ptr<Backend> backend_;
};

}  // namespace defused

// SPDX-License-Identifier: Apache-2.0
// Logger: lines to stderr, as text or JSON. One per process, passed by reference; only the daemon logs, libraries do
// not.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "model/history.h"
#include "model/settings.h"

namespace defused {

/// A line with the facts that a collector filters by: members of the JSON form; the text of the line says them too.
struct LogLine {
  LogLine(std::string text)
      : message(std::move(text)) {}  // NOLINT(google-explicit-constructor): a plain line is a line
  std::string message;
  std::string event = {};  ///< "stuck", "released" ..; "": a plain line
  LogLevel level = LogLevel::info;
  LogFacts facts = {};
  std::string outcome = {};  ///< of an action
};

class Logger {
 public:
  /// `process` ("supervisor", "prober", "front") stands in every line.
  Logger(const LogSettings& settings, std::string_view process);
  ~Logger();
  Logger(const Logger&) = delete;
  Logger& operator=(const Logger&) = delete;

  /// From the next line on.
  void set_settings(const LogSettings& settings);

  void debug(std::string_view line);
  void info(std::string_view line);
  void warn(std::string_view line);
  void error(std::string_view line);
  void write(const LogLine& line);

 private:
  struct Backend;
  std::string process_;
  std::unique_ptr<Backend> backend_;
};

}  // namespace defused

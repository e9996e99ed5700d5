// SPDX-License-Identifier: Apache-2.0
#include "daemon/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <nlohmann/json.hpp>
#include <string>

namespace defused {

namespace {

spdlog::level::level_enum spdlog_level(LogLevel level) {
  switch (level) {
    case LogLevel::debug: return spdlog::level::debug;
    case LogLevel::info: return spdlog::level::info;
    case LogLevel::warning: return spdlog::level::warn;
    case LogLevel::error: return spdlog::level::err;
  }
  return spdlog::level::info;
}

std::string json_string(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

struct Logger::Backend {
  Backend(const LogSettings& settings, std::string_view process)
      : logger(std::string(process), std::make_shared<spdlog::sinks::stderr_sink_st>()), format(settings.format) {
    logger.set_level(spdlog_level(settings.level));
    const std::string name(process);
    if (format == LogFormat::json) {
      logger.set_pattern(
          "{\"time\":\"%Y-%m-%dT%H:%M:%S.%eZ\",\"level\":\"%l\",\"process\":\"" + name + "\",\"message\":%v}",
          spdlog::pattern_time_type::utc);
    } else {
      logger.set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l " + name + ": %v", spdlog::pattern_time_type::utc);
    }
    logger.flush_on(spdlog::level::trace);
  }

  void write(spdlog::level::level_enum level, std::string_view line) {
    if (format == LogFormat::json) {
      logger.log(level, "{}", json_string(line));
    } else {
      logger.log(level, "{}", line);
    }
  }

  spdlog::logger logger;
  LogFormat format;
};

Logger::Logger(const LogSettings& settings, std::string_view process)
    : backend_(std::make_unique<Backend>(settings, process)) {}
Logger::~Logger() = default;

void Logger::debug(std::string_view line) { backend_->write(spdlog::level::debug, line); }
void Logger::info(std::string_view line) { backend_->write(spdlog::level::info, line); }
void Logger::warn(std::string_view line) { backend_->write(spdlog::level::warn, line); }
void Logger::error(std::string_view line) { backend_->write(spdlog::level::err, line); }

}  // namespace defused

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

using Json = nlohmann::ordered_json;

// The members of an object, without its braces: they stand behind those that spdlog writes.
std::string members_of(const Json& object) {
  const std::string text = object.dump(-1, ' ', false, Json::error_handler_t::replace);
  return text.substr(1, text.size() - 2);
}

template <typename Word>
void add_word(Json& out, const char* name, const std::optional<Word>& word) {
  if (word) out[name] = std::string(to_string(*word));
}

Json json_of(const LogLine& line) {
  Json out = {{"message", line.message}};
  if (line.event.empty()) return out;
  const LogFacts& facts = line.facts;
  out["event"] = line.event;
  if (facts.pid_namespace) out["pid_namespace"] = facts.pid_namespace->inode;
  if (facts.init_pid) out["init_pid"] = *facts.init_pid;
  if (facts.pid) out["pid"] = *facts.pid;
  if (facts.tid) out["tid"] = *facts.tid;
  if (!facts.comm.empty()) out["comm"] = facts.comm;
  if (!facts.container_id.empty()) out["container_id"] = facts.container_id;
  if (!facts.connections.empty()) out["connection"] = facts.connections.front().kernel_dev;
  if (facts.connections.size() > 1) {
    for (const ConnectionId id : facts.connections) out["connections"].push_back(id.kernel_dev);
  }
  if (!facts.fstype.empty()) out["fstype"] = facts.fstype;
  add_word(out, "server_state", facts.server_state);
  add_word(out, "verdict", facts.verdict);
  add_word(out, "wait_class", facts.wait_class);
  add_word(out, "decision", facts.decision);
  if (facts.decision) out["reasons"] = Json::array();
  for (const Gate gate : facts.reasons) out["reasons"].push_back(std::string(to_string(gate)));
  if (!line.outcome.empty()) out["outcome"] = line.outcome;
  return out;
}

}  // namespace

struct Logger::Backend {
  Backend(const LogSettings& settings, std::string_view process)
      : logger(std::string(process), std::make_shared<spdlog::sinks::stderr_sink_st>()), format(settings.format) {
    logger.set_level(spdlog_level(settings.level));
    const std::string name(process);
    if (format == LogFormat::json) {
      logger.set_pattern("{\"time\":\"%Y-%m-%dT%H:%M:%S.%eZ\",\"level\":\"%l\",\"process\":\"" + name + "\",%v}",
                         spdlog::pattern_time_type::utc);
    } else {
      logger.set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l " + name + ": %v", spdlog::pattern_time_type::utc);
    }
    logger.flush_on(spdlog::level::trace);
  }

  void write(spdlog::level::level_enum level, std::string_view line) {
    if (format == LogFormat::json) {
      logger.log(level, "{}", members_of(Json{{"message", std::string(line)}}));
    } else {
      logger.log(level, "{}", line);
    }
  }

  spdlog::logger logger;
  LogFormat format;
};

Logger::Logger(const LogSettings& settings, std::string_view process)
    : process_(process), backend_(std::make_unique<Backend>(settings, process)) {}
Logger::~Logger() = default;

void Logger::set_settings(const LogSettings& settings) { backend_ = std::make_unique<Backend>(settings, process_); }

void Logger::debug(std::string_view line) { backend_->write(spdlog::level::debug, line); }
void Logger::info(std::string_view line) { backend_->write(spdlog::level::info, line); }
void Logger::warn(std::string_view line) { backend_->write(spdlog::level::warn, line); }
void Logger::write(const LogLine& line) {
  const auto level = spdlog_level(line.level);
  if (backend_->format == LogFormat::json) {
    backend_->logger.log(level, "{}", members_of(json_of(line)));
  } else {
    backend_->write(level, line.message);
  }
}
void Logger::error(std::string_view line) { backend_->write(spdlog::level::err, line); }

}  // namespace defused

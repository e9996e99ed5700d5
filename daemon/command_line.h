// SPDX-License-Identifier: Apache-2.0
// The commands and options of defused as CLI11 takes them, and where their words go. For options.cc, which parses, and
// for what describes them; includes CLI11, which is slow to compile.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/options.h"

namespace defused {

class CommandLine {
 public:
  CommandLine();
  CommandLine(const CommandLine&) = delete;
  CommandLine& operator=(const CommandLine&) = delete;

  CLI::App& app() { return app_; }

  /// Takes the words behind the program's name; `--option=` gives an option the value "". Throws what CLI11 does.
  void parse(std::vector<std::string> words);

  /// After parse(): what is to be done. Nothing: no command, or none of those of `config`.
  [[nodiscard]] std::optional<Options> chosen();
  /// `defused help`, and the words behind it.
  [[nodiscard]] bool wants_help() const { return help_command_->parsed(); }
  [[nodiscard]] const std::vector<std::string>& help_words() const { return help_words_; }
  /// Whether the command line asks for the listing of all commands, internal-describe.
  [[nodiscard]] bool wants_listing() const { return describe_command_->parsed(); }

 private:
  CLI::App* add(const char* name);
  CLI::App* add_hidden(const char* name);
  void add_samples(CLI::App& command, ScanOptions& look, const char* samples);
  void add_look();
  void add_run();
  void add_abort();
  void add_check();
  void add_capture();
  void add_config();
  void add_others();
  void add_internal();

  RunOptions run_;
  ScanOptions scan_;
  ExplainOptions explain_;
  ConnectionsOptions connections_;
  AbortOptions abort_;
  CheckOptions check_;
  CaptureOptions capture_;
  ReplayOptions replay_;
  ConfigOptions config_;
  VersionOptions version_;
  PauseOptions pause_;
  ResumeOptions resume_;
  InternalProberOptions prober_;
  std::vector<std::string> help_words_;
  std::string every_ = "250ms";
  std::string critical_after_ = "0s";
  std::string record_;
  bool wants_version_ = false;

  CLI::App app_;
  CLI::App* scan_command_;
  CLI::App* explain_command_;
  CLI::App* connections_command_;
  CLI::App* abort_command_;
  CLI::App* pause_command_;
  CLI::App* resume_command_;
  CLI::App* check_command_;
  CLI::App* capture_command_;
  CLI::App* replay_command_;
  CLI::App* run_command_;
  CLI::App* config_command_;
  CLI::App* config_check_ = nullptr;
  CLI::App* config_schema_ = nullptr;
  CLI::App* config_defaults_ = nullptr;
  CLI::App* version_command_;
  CLI::App* help_command_;
  CLI::App* prober_command_;
  CLI::App* front_command_;
  CLI::App* describe_command_;
};

}  // namespace defused

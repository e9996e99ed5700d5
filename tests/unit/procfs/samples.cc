// SPDX-License-Identifier: Apache-2.0
#include "samples.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace defused {

std::string read_capture_file(const std::string& path) {
  std::ifstream file(std::string(DEFUSED_CAPTURES) + "/" + path, std::ios::binary);
  INFO(path);
  REQUIRE(file.good());
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string read_capture_link(const std::string& path) {
  return std::filesystem::read_symlink(std::string(DEFUSED_CAPTURES) + "/" + path).string();
}

std::string describe(const StatusFields& status) {
  std::ostringstream out;
  out << status.name << ' ' << status.state << " tgid " << status.tgid << " pid " << status.pid << " ppid "
      << status.ppid << " level " << status.level << " inner " << status.inner_pid << " threads " << status.threads
      << " fds " << status.descriptor_table_size << " switches " << status.context_switches;
  if (status.tracer != 0) out << " tracer " << status.tracer;
  if (status.has_memory) out << " memory";
  if (status.kernel_thread) out << (*status.kernel_thread ? " kthread" : " user");
  if (status.sigkill_pending) out << " killed";
  if (status.core_dumping) out << " dumping";
  return out.str();
}

std::string describe(const StatFields& stat) {
  std::ostringstream out;
  out << stat.comm << ' ' << stat.state << " ppid " << stat.ppid << " flags " << stat.flags << " start "
      << stat.start_ticks;
  return out.str();
}

std::string describe(const MountTable& table) {
  std::ostringstream out;
  for (const FuseMount& mount : table.fuse_mounts) {
    out << mount.mount_id << " conn " << mount.connection.kernel_dev << ' ' << mount.fstype << ' ' << mount.source
        << ' ' << mount.mount_point << ';';
  }
  if (table.has_overlay) out << " overlay";
  if (table.has_virtiofs) out << " virtiofs";
  if (!table.complete) out << " cut";
  return out.str();
}

std::string describe(const DescriptorInfo& info) {
  std::ostringstream out;
  out << "mnt " << info.mount_id << " flags 0" << std::oct << info.flags << std::dec;
  if (info.fuse_connection) out << " conn " << info.fuse_connection->kernel_dev;
  return out.str();
}

}  // namespace defused

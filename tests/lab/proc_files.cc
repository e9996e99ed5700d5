// SPDX-License-Identifier: Apache-2.0
#include "proc_files.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <chrono>
#include <fstream>
#include <sstream>

namespace lab {

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

bool file_contains(const std::string& path, const std::string& text) {
  return read_file(path).find(text) != std::string::npos;
}

std::string status_field(const std::string& task, const std::string& field) {
  std::istringstream lines("\n" + read_file(task + "/status"));
  std::string line;
  while (std::getline(lines, line)) {
    if (line.rfind(field + ":\t", 0) == 0) return line.substr(field.size() + 2);
  }
  return {};
}

std::vector<pid_t> numbers_in(const std::string& text) {
  std::istringstream words(text);
  std::vector<pid_t> numbers;
  pid_t number = 0;
  while (words >> number) numbers.push_back(number);
  return numbers;
}

std::vector<pid_t> list_numbers(const std::string& directory) {
  std::vector<pid_t> numbers;
  DIR* open = opendir(directory.c_str());
  if (open == nullptr) return numbers;
  while (const dirent* entry = readdir(open)) {
    for (const pid_t number : numbers_in(entry->d_name)) numbers.push_back(number);
  }
  closedir(open);
  return numbers;
}

std::vector<pid_t> children_of(pid_t pid) {
  std::vector<pid_t> children;
  const std::string process = "/proc/" + std::to_string(pid) + "/task/";
  for (const pid_t tid : list_numbers(process)) {
    const auto some = numbers_in(read_file(process + std::to_string(tid) + "/children"));
    children.insert(children.end(), some.begin(), some.end());
  }
  return children;
}

std::uint64_t start_ticks(pid_t pid) {
  const std::string text = read_file("/proc/" + std::to_string(pid) + "/stat");
  const std::size_t end = text.rfind(')');
  if (end == std::string::npos) return 0;
  std::istringstream words(text.substr(end + 2));
  std::string word;
  for (int field = 3; field <= 22; ++field) words >> word;
  return std::stoull(word);
}

std::uint64_t namespace_inode(pid_t pid, const char* kind) {
  struct stat status {};
  const std::string path = "/proc/" + std::to_string(pid) + "/ns/" + kind;
  return stat(path.c_str(), &status) == 0 ? status.st_ino : 0;
}

// 51 40 0:44 / /tmp/defused-lab-0d1c41f2b7a09e35/mnt rw,nosuid,nodev,relatime - fuse.ndrive ndrive
// rw,user_id=0,group_id=0
long fuse_minor(pid_t pid, const std::string& below, std::string* mount_point) {
  std::istringstream lines(read_file("/proc/" + std::to_string(pid) + "/mountinfo"));
  std::string line;
  while (std::getline(lines, line)) {
    if (line.find(" - fuse.") == std::string::npos) continue;
    std::istringstream words(line);
    std::string id;
    std::string parent;
    std::string device;
    std::string root;
    words >> id >> parent >> device >> root >> *mount_point;
    if (mount_point->find("/" + below + "/") == std::string::npos || device.rfind("0:", 0) != 0) continue;
    return std::stol(device.substr(2));
  }
  return -1;
}

std::string stacks_of(pid_t pid) {
  const std::string process = "/proc/" + std::to_string(pid) + "/task/";
  std::string text;
  for (const pid_t tid : list_numbers(process)) {
    const std::string task = process + std::to_string(tid);
    text += task + ": " + status_field(task, "State") + "\n" + read_file(task + "/stack");
  }
  return text;
}

bool wait_until(const std::function<bool()>& condition, double seconds) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    usleep(5000);
  }
  return true;
}

}  // namespace lab

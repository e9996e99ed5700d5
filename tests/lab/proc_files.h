// SPDX-License-Identifier: Apache-2.0
// The little of /proc that the lab reads about its own processes.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace lab {

std::string read_file(const std::string& path);
bool file_contains(const std::string& path, const std::string& text);
/// Field of `status`, e.g. "State"; "" where the process is gone.
std::string status_field(const std::string& task, const std::string& field);
std::vector<pid_t> numbers_in(const std::string& text);
std::vector<pid_t> list_numbers(const std::string& directory);
std::vector<pid_t> children_of(pid_t pid);
std::uint64_t start_ticks(pid_t pid);
std::uint64_t namespace_inode(pid_t pid, const char* kind);
/// The device minor of the FUSE mount directly below the directory called `below` (a name that only we use) in `pid`'s
/// mountinfo, and its mount point as written there; -1: none.
long fuse_minor(pid_t pid, const std::string& below, std::string* mount_point);
/// The stack of each thread of `pid` that has one, with its State; "" where there is none.
std::string stacks_of(pid_t pid);
/// Polls every 5 ms until true; false after `seconds`.
bool wait_until(const std::function<bool()>& condition, double seconds);

}  // namespace lab

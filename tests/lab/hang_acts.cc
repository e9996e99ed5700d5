// SPDX-License-Identifier: Apache-2.0
#include "hang_acts.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

namespace lab {

namespace {

constexpr std::size_t kPage = 4096;

void* map_page(int file, int protection) { return mmap(nullptr, kPage, protection, MAP_SHARED, file, 0); }

long read_own_memory(int file) {
  const void* page = map_page(file, PROT_READ);
  const int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
  if (page == MAP_FAILED || memory < 0) return -1;
  char byte = 0;
  return pread(memory, &byte, 1, static_cast<off_t>(reinterpret_cast<std::uintptr_t>(page)));
}

long unmap_dirty(int file) {
  void* page = map_page(file, PROT_READ | PROT_WRITE);
  if (page == MAP_FAILED) return -1;
  *static_cast<volatile char*>(page) = 'd';
  return munmap(page, kPage);
}

long map_more() { return mmap(nullptr, kPage, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0; }

long close_userfaultfd() {
  const auto file = static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC));
  uffdio_api api{};
  api.api = UFFD_API;
  return file < 0 || ioctl(file, UFFDIO_API, &api) < 0 ? -1 : close(file);
}

}  // namespace

void add_hang_acts(Acts& acts) {
  acts["exec"] = [](const Words&) { return result("execve", execl("/bin/sleep", "sleep", "600", nullptr)); };
  acts["mem"] = [](const Words& words) { return result("mem", read_own_memory(std::stoi(words.at(1)))); };
  acts["unmap"] = [](const Words& words) { return result("munmap", unmap_dirty(std::stoi(words.at(1)))); };
  acts["map"] = [](const Words&) { return result("mmap", map_more()); };
  acts["uffd"] = [](const Words&) { return result("userfaultfd", close_userfaultfd()); };
}

}  // namespace lab

// SPDX-License-Identifier: Apache-2.0
// defused-actor SOCKET: a process that does what it is told over a SEQPACKET socket, one command and one answer at a
// time ("ok VALUE" or "error SENTENCE"), and forks further actors that have sockets of their own. Situations are made
// of actors by situations.py, which knows what is true because it said so. An actor whose socket ends, ends.
// defused-actor guard SOCKET DIRECTORY SECONDS: the guardian of a stage (guardian.h).
#include <fcntl.h>
#include <liburing.h>
#include <linux/aio_abi.h>
#include <linux/loop.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "chaos_acts.h"
#include "guardian.h"
#include "hang_acts.h"
#include "muted_server.h"
#include "size_acts.h"

namespace {

using lab::result;
using lab::Words;

std::vector<std::unique_ptr<lab::MutedServer>>& servers() {
  static std::vector<std::unique_ptr<lab::MutedServer>> made;
  return made;
}

struct Order {
  Words words;
  int descriptor = -1;
};

// One command; empty words at the end of the socket.
Order receive(int socket) {
  std::array<char, 4096> text{};
  iovec part{text.data(), text.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr packet{};
  packet.msg_iov = &part;
  packet.msg_iovlen = 1;
  packet.msg_control = control.data();
  packet.msg_controllen = control.size();
  const ssize_t got = recvmsg(socket, &packet, MSG_CMSG_CLOEXEC);
  Order order;
  if (got <= 0) return order;
  const cmsghdr* header = CMSG_FIRSTHDR(&packet);
  if (header != nullptr && header->cmsg_type == SCM_RIGHTS) {
    std::memcpy(&order.descriptor, CMSG_DATA(header), sizeof order.descriptor);
  }
  std::istringstream words(std::string(text.data(), static_cast<std::size_t>(got)));
  for (std::string word; words >> word;) order.words.push_back(word);
  return order;
}

void answer(int socket, const std::string& text) {
  if (send(socket, text.data(), text.size(), MSG_NOSIGNAL) < 0) _exit(1);
}

// A child with a socket of its own; of ours it keeps nothing, but with "keep" every open file. Returns the socket to go
// on with: in the child that is its own.
int spawn(int own_socket, const Order& order) {
  unsigned long flags = SIGCHLD;
  bool keep = false;
  for (const std::string& word : order.words) {
    if (word == "pid") flags |= CLONE_NEWPID;
    if (word == "mnt") flags |= CLONE_NEWNS;
    if (word == "keep") keep = true;
  }
  const long child = syscall(SYS_clone, flags, nullptr, nullptr, nullptr, 0);
  if (child == 0) {
    close(own_socket);
    if (!keep) {
      if (order.descriptor > 3) close_range(3, static_cast<unsigned>(order.descriptor) - 1, 0);
      close_range(static_cast<unsigned>(order.descriptor) + 1, ~0U, 0);
    }
    if ((flags & CLONE_NEWNS) != 0 && mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0) _exit(1);
    if ((flags & CLONE_NEWNS) != 0 && (flags & CLONE_NEWPID) != 0 && mount("proc", "/proc", "proc", 0, nullptr) < 0)
      _exit(1);
    answer(order.descriptor, "ready");
    return order.descriptor;
  }
  close(order.descriptor);
  answer(own_socket, result("clone", child));
  return own_socket;
}

// A block device on `file` that goes with its last user.
std::string attach_loop(const std::string& file) {
  const int backing = open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (backing < 0 || ftruncate(backing, 1 << 20) < 0) return {};
  const int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
  const int number = ioctl(control, LOOP_CTL_GET_FREE);
  close(control);
  if (number < 0) return {};
  std::string device = "/dev/loop" + std::to_string(number);
  loop_config wanted{};
  wanted.fd = static_cast<__u32>(backing);
  wanted.info.lo_flags = LO_FLAGS_AUTOCLEAR;
  const int loop = open(device.c_str(), O_RDWR | O_CLOEXEC);  // kept, or it would be cleared before it is mounted
  return ioctl(loop, LOOP_CONFIGURE, &wanted) < 0 ? std::string() : device;
}

// fuse MOUNT_POINT SUBTYPE SOURCE [writeback] [block] [in=PID]: mounts, in the mount namespace of another where asked,
// serves.
std::string serve_fuse(const Words& words) {
  lab::MountOptions options;
  options.mount_point = words.at(1);
  options.subtype = words.at(2);
  options.source = words.at(3);
  int home = -1;
  for (const std::string& word : words) {
    if (word == "writeback") options.writeback_cache = true;
    if (word == "block") {
      options.block_device = true;
      options.source = attach_loop(options.mount_point + ".image");
    }
    if (word.rfind("in=", 0) != 0) continue;
    home = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    const int other = open(("/proc/" + word.substr(3) + "/ns/mnt").c_str(), O_RDONLY | O_CLOEXEC);
    if (setns(other, CLONE_NEWNS) < 0) return result("setns", -1);
    close(other);
  }
  auto server = lab::MutedServer::mount(options);
  const int error = errno;
  if (home >= 0 && setns(home, CLONE_NEWNS) < 0) return result("setns", -1);
  if (home >= 0) close(home);
  errno = error;
  if (!server) return result("mount", -1);
  server->serve();
  servers().push_back(std::move(server));
  return result("mount", static_cast<long>(servers().size()) - 1);
}

int flags_of(const std::string& mode) {
  if (mode == "r") return O_RDONLY | O_CLOEXEC;
  if (mode == "path") return O_PATH | O_CLOEXEC;  // asks the server nothing, if the name is known
  if (mode == "direct") return O_RDWR | O_DIRECT | O_CLOEXEC;
  if (mode == "inherited") return O_RDWR;
  return O_RDWR | O_CLOEXEC;
}

// Leaves one page of the file dirty in a shared mapping; closes the file before that where asked.
long make_dirty(int file, bool closed) {
  auto* page = static_cast<volatile char*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0));
  if (page == MAP_FAILED) return -1;
  if (closed) close(file);
  *page = 'd';
  return 0;
}

// An asynchronous write that nobody waits for.
long submit_aio(int file) {
  aio_context_t context = 0;
  if (syscall(SYS_io_setup, 1, &context) < 0) return -1;
  constexpr std::size_t kBlock = 4096;
  void* block = std::aligned_alloc(kBlock, kBlock);
  std::memset(block, 'a', kBlock);
  iocb request{};
  request.aio_fildes = static_cast<__u32>(file);
  request.aio_lio_opcode = IOCB_CMD_PWRITE;
  request.aio_buf = reinterpret_cast<__u64>(block);
  request.aio_nbytes = kBlock;
  iocb* list = &request;
  return syscall(SYS_io_submit, context, 1, &list);
}

// An fsync by a worker thread of io_uring.
long submit_uring_fsync(int file) {
  static io_uring ring;
  if (const int error = io_uring_queue_init(4, &ring, 0); error < 0) {
    errno = -error;
    return -1;
  }
  io_uring_sqe* entry = io_uring_get_sqe(&ring);
  io_uring_prep_fsync(entry, file, 0);
  return io_uring_submit(&ring);
}

long make_crowd(int count) {
  for (int i = 0; i < count; ++i) {
    const pid_t child = fork();
    if (child < 0) return -1;
    if (child == 0) {
      while (true) pause();
    }
  }
  return count;
}

long enter(const std::string& pid, const std::string& kind) {
  const int other = open(("/proc/" + pid + "/ns/" + kind).c_str(), O_RDONLY | O_CLOEXEC);
  const int entered = setns(other, 0);
  close(other);
  return entered;
}

// A core dump into `directory`, of the whole process.
[[noreturn]] void dump(const std::string& directory) {
  const rlimit all{RLIM_INFINITY, RLIM_INFINITY};
  setrlimit(RLIMIT_CORE, &all);
  prctl(PR_SET_DUMPABLE, 1);
  if (chdir(directory.c_str()) < 0) _exit(1);
  std::abort();
}

long trace(pid_t pid, bool at_exit) { return ptrace(PTRACE_SEIZE, pid, nullptr, at_exit ? PTRACE_O_TRACEEXIT : 0); }

long mount_overlay(const Words& words) {
  const std::string data = "lowerdir=" + words.at(1) + ",upperdir=" + words.at(2) + ",workdir=" + words.at(3);
  return mount("overlay", words.at(4).c_str(), "overlay", 0, data.c_str());
}

long read_some(int file) {
  std::array<char, 4096> text{};
  return pread(file, text.data(), text.size(), 0);
}

long write_some(int file) {
  constexpr std::size_t kBlock = 4096;
  alignas(kBlock) static const std::array<char, kBlock> kText{};
  return pwrite(file, kText.data(), kText.size(), 0);
}

// From here on only a thread with a table of descriptors of its own holds the server's /dev/fuse.
long give_to_thread(const lab::MutedServer& server) {
  std::promise<bool> has_its_own;
  auto made = has_its_own.get_future();
  std::thread([&has_its_own] {
    has_its_own.set_value(unshare(CLONE_FILES) == 0);
    while (true) pause();
  }).detach();
  return made.get() ? close(server.descriptor()) : -1;
}

std::set<std::string> rest_of(const Words& words, std::size_t from) {
  return {words.begin() + static_cast<long>(from), words.end()};
}

lab::Acts plain_acts() {
  return {
      {"fuse", serve_fuse},
      {"mute",
       [](const Words& words) {
         servers().at(std::stoul(words.at(1)))->mute(rest_of(words, 2));
         return std::string("ok 0");
       }},
      {"unmute",
       [](const Words& words) {
         servers().at(std::stoul(words.at(1)))->unmute();
         return std::string("ok 0");
       }},
      {"open", [](const Words& words) { return result("open", open(words.at(1).c_str(), flags_of(words.at(2)))); }},
      {"close", [](const Words& words) { return result("close", close(std::stoi(words.at(1)))); }},
      {"read", [](const Words& words) { return result("read", read_some(std::stoi(words.at(1)))); }},
      {"write", [](const Words& words) { return result("write", write_some(std::stoi(words.at(1)))); }},
      {"device",
       [](const Words& words) { return result("device", servers().at(std::stoul(words.at(1)))->descriptor()); }},
      {"aborted",
       [](const Words& words) {
         return std::string(servers().at(std::stoul(words.at(1)))->has_ended() ? "ok 1" : "ok 0");
       }},
      {"own_table",
       [](const Words& words) { return result("unshare", give_to_thread(*servers().at(std::stoul(words.at(1))))); }},
      {"dirty",
       [](const Words& words) { return result("mmap", make_dirty(std::stoi(words.at(1)), words.size() > 2)); }},
      {"aio", [](const Words& words) { return result("io_submit", submit_aio(std::stoi(words.at(1)))); }},
      {"uring_fsync",
       [](const Words& words) { return result("io_uring", submit_uring_fsync(std::stoi(words.at(1)))); }},
      {"crowd", [](const Words& words) { return result("fork", make_crowd(std::stoi(words.at(1)))); }},
      {"enter", [](const Words& words) { return result("setns", enter(words.at(1), words.at(2))); }},
      {"trace", [](const Words& words) { return result("ptrace", trace(std::stoi(words.at(1)), words.size() > 2)); }},
      {"overlay", [](const Words& words) { return result("mount", mount_overlay(words)); }},
      {"tmpfs",
       [](const Words& words) { return result("mount", mount("lab", words.at(1).c_str(), "tmpfs", 0, nullptr)); }},
      {"mkdir", [](const Words& words) { return result("mkdir", mkdir(words.at(1).c_str(), 0755)); }},
      {"detach", [](const Words& words) { return result("umount", umount2(words.at(1).c_str(), MNT_DETACH)); }},
      {"reap", [](const Words&) { return result("signal", signal(SIGCHLD, SIG_IGN) == SIG_ERR ? -1 : 0); }},
      {"dump", [](const Words& words) -> std::string { dump(words.at(1)); }},
      {"exit_group", [](const Words&) -> std::string { _exit(0); }},
  };
}

const lab::Acts& acts() {
  static const lab::Acts kActs = [] {
    lab::Acts made = plain_acts();
    lab::add_size_acts(made);
    lab::add_hang_acts(made);
    lab::add_chaos_acts(made);
    return made;
  }();
  return kActs;
}

// "later COMMAND ...": done by a thread of its own, since it may never come back.
std::string start(const Words& words) {
  const auto found = acts().find(words.at(1));
  if (found == acts().end()) return "error no such act";
  std::thread([act = found->second, rest = Words(words.begin() + 1, words.end())] { act(rest); }).detach();
  return "ok 0";
}

std::string perform(const Words& words) {
  if (words.front() == "later") return start(words);
  const auto found = acts().find(words.front());
  return found == acts().end() ? "error no such act" : found->second(words);
}

[[noreturn]] void act(int socket);

// The leader of this process ends; a thread goes on in its place.
[[noreturn]] void leave_leader(int socket) {
  std::thread([socket] {
    answer(socket, "ok 0");
    act(socket);
  }).detach();
  syscall(SYS_exit, 0);
  std::abort();
}

void act(int socket) {
  while (true) {
    const Order order = receive(socket);
    if (order.words.empty()) _exit(0);
    if (order.words.front() == "leave_leader") leave_leader(socket);
    if (order.words.front() == "spawn") {
      socket = spawn(socket, order);
    } else {
      Words words = order.words;
      if (order.descriptor >= 0) words.push_back(std::to_string(order.descriptor));
      answer(socket, perform(words));
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);
  if (argc == 5 && std::strcmp(argv[1], "guard") == 0) {
    lab::run_guardian(std::atoi(argv[2]), argv[3], argv[3], std::atoi(argv[4]));
  }
  if (argc != 2) return 2;
  answer(std::atoi(argv[1]), "ready");
  act(std::atoi(argv[1]));
}

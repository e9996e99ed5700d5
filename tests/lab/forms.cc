// SPDX-License-Identifier: Apache-2.0
#include "forms.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <thread>

#include "fuse_server.h"

namespace lab {

namespace {

[[noreturn]] void sleep_for_ever() {
  while (true) pause();
}

[[noreturn]] void reap_for_ever() {
  while (true) {
    if (wait(nullptr) < 0) pause();
  }
}

void tell(int pipe) {
  if (write(pipe, "r", 1) != 1) _exit(1);
}

void await(int pipe) {
  char byte = 0;
  if (read(pipe, &byte, 1) != 1) _exit(1);
}

ServerOptions server_options(const Options& options) {
  return {options.mount_point, options.fstype, options.source, options.form == "hang_reader"};
}

// Opens a file of its own mount and keeps it: closing it on the way out is what never ends.
void hold_file(const Options& options, const Pipes& pipes) {
  tell(pipes.ready);
  await(pipes.command);
  if (open((options.mount_point + "/held").c_str(), O_RDWR | O_CLOEXEC) < 0) _exit(1);
}

// The server's leader serves alone, so it is the one that will be blocked.
[[noreturn]] void serve_as_leader(const Options& options, const Pipes& pipes) {
  const ServerOptions names = server_options(options);
  FuseServer server(names);
  if (!server.mounted()) _exit(1);
  std::thread([&] {
    hold_file(options, pipes);
    tell(pipes.ready);
  }).detach();
  server.serve(false);
  _exit(0);
}

// Who closes the files last is the one that is blocked. On one CPU with `tid`, and of a class before its own, this
// thread is a zombie before `tid` begins to exit. Where that is not permitted the lab tries again; left to itself, the
// leader can be the last 30 times in a row.
void let_this_thread_exit_first(pid_t tid) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(static_cast<std::size_t>(sched_getcpu()), &one);
  const sched_param first{1};
  const sched_param none{};
  sched_setaffinity(0, sizeof one, &one);
  sched_setaffinity(tid, sizeof one, &one);
  if (sched_setscheduler(0, SCHED_FIFO, &first) < 0) sched_setscheduler(tid, SCHED_IDLE, &none);
}

// Leader and one serving thread, which is the one that will be blocked.
[[noreturn]] void serve_in_thread(const Options& options, const Pipes& pipes) {
  const ServerOptions names = server_options(options);
  FuseServer server(names);
  if (!server.mounted()) _exit(1);
  std::atomic<pid_t> serving = 0;
  std::thread([&] {
    serving = gettid();
    server.serve(false);
  }).detach();
  hold_file(options, pipes);  // it was served: `serving` is set
  let_this_thread_exit_first(serving);
  tell(pipes.ready);
  sleep_for_ever();
}

[[noreturn]] void serve_others(const Options& options, int mounted) {
  const ServerOptions names = server_options(options);
  FuseServer server(names);
  if (!server.mounted()) _exit(1);
  tell(mounted);
  server.serve(true);
  _exit(0);
}

[[noreturn]] void read_on_command(const Options& options, const Pipes& pipes) {
  tell(pipes.ready);
  await(pipes.command);
  const int file = open((options.mount_point + "/hello").c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) _exit(1);
  tell(pipes.ready);
  char command = 0;
  while (read(pipes.command, &command, 1) == 1) {
    std::array<char, 64> text{};
    const ssize_t got = pread(file, text.data(), text.size(), 0);
    const bool well = got > 0 && std::string_view(text.data(), static_cast<std::size_t>(got)) == kHelloText;
    if (write(pipes.answer, well ? "k" : "f", 1) != 1) break;
  }
  sleep_for_ever();
}

// Held with close-on-exec: execve closes it while it holds exec_update_lock, and FLUSH is never answered.
[[noreturn]] void exec_with_held_file(const Options& options, const Pipes& pipes) {
  hold_file(options, pipes);
  tell(pipes.ready);
  execl("/bin/sleep", "sleep", "600", nullptr);
  _exit(1);
}

template <typename Body>
void fork_member(Body body) {
  if (fork() == 0) {
    body();
    _exit(1);
  }
}

// A server and, once it has mounted, a client.
[[noreturn]] void run_pair(const Options& options, const Pipes& pipes) {
  std::array<int, 2> mounted{};
  if (pipe2(mounted.data(), O_CLOEXEC) < 0) _exit(1);
  fork_member([&] { serve_others(options, mounted[1]); });
  char byte = 0;
  if (read(mounted[0], &byte, 1) != 1) _exit(1);
  fork_member([&] {
    if (options.form == "healthy") read_on_command(options, pipes);
    exec_with_held_file(options, pipes);
  });
  reap_for_ever();
}

}  // namespace

void run_init(const Options& options, const Pipes& pipes) {
  await(pipes.command);
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0) _exit(1);
  // A /proc of this PID namespace: libfuse asks /proc/mounts.
  if (mount("proc", "/proc", "proc", 0, nullptr) < 0) _exit(1);
  if (!options.comm.empty()) prctl(PR_SET_NAME, options.comm.c_str());
  if (options.form == "server_pid1") {
    fork_member([] { sleep_for_ever(); });
    serve_in_thread(options, pipes);
  }
  if (options.form == "healthy" || options.form == "hang_reader") run_pair(options, pipes);
  fork_member([&] {
    if (options.form == "flush_thread") serve_in_thread(options, pipes);
    serve_as_leader(options, pipes);
  });
  reap_for_ever();
}

void run_tar_pit(const Options& options, const Pipes& pipes) {
  await(pipes.command);
  serve_others(options, pipes.ready);
}

void run_in_container(const Options& options, bool holds) {
  std::array<int, 2> ready{};
  const int go_on = open("/dev/zero", O_RDONLY | O_CLOEXEC);  // nobody has to tell it
  if (go_on < 0 || pipe2(ready.data(), O_CLOEXEC) < 0) _exit(1);
  std::thread([from = ready[0], holds] {
    for (int steps = holds ? 2 : 1; steps > 0; --steps) await(from);
    std::puts("stands");
    std::fflush(stdout);
  }).detach();
  if (!holds) serve_others(options, ready[1]);
  serve_in_thread(options, Pipes{ready[1], go_on, -1});
}

}  // namespace lab

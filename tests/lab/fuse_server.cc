// SPDX-License-Identifier: Apache-2.0
#include "fuse_server.h"

#define FUSE_USE_VERSION 312
#include <fuse3/fuse.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>

namespace lab {

namespace {

[[noreturn]] void wait_for_ever() {
  while (true) pause();
}

bool is_file(std::string_view path) { return path == "/hello" || path == "/held" || path == "/swallow"; }

int do_getattr(const char* path, struct stat* status, fuse_file_info* /*file*/) {
  *status = {};
  if (std::string_view(path) == "/") {
    status->st_mode = S_IFDIR | 0755;
    status->st_nlink = 2;
    return 0;
  }
  if (!is_file(path)) return -ENOENT;
  status->st_mode = S_IFREG | 0644;
  status->st_nlink = 1;
  status->st_size = static_cast<off_t>(std::strlen(kHelloText));
  return 0;
}

int do_readdir(const char* /*path*/, void* buffer, fuse_fill_dir_t fill, off_t /*offset*/, fuse_file_info* /*file*/,
               fuse_readdir_flags /*flags*/) {
  for (const char* name : {".", "..", "hello", "held", "swallow"}) fill(buffer, name, nullptr, 0, FUSE_FILL_DIR_PLUS);
  return 0;
}

int do_open(const char* path, fuse_file_info* file) {
  if (std::string_view(path) == "/swallow") wait_for_ever();
  file->direct_io = 1;  // every read asks the server
  return is_file(path) ? 0 : -ENOENT;
}

int do_read(const char* /*path*/, char* buffer, std::size_t size, off_t offset, fuse_file_info* /*file*/) {
  const std::string_view text(kHelloText);
  const auto at = static_cast<std::size_t>(offset);
  if (at >= text.size()) return 0;
  const std::string_view part = text.substr(at, size);
  std::memcpy(buffer, part.data(), part.size());
  return static_cast<int>(part.size());
}

int do_flush(const char* /*path*/, fuse_file_info* /*file*/) {
  const auto* options = static_cast<const ServerOptions*>(fuse_get_context()->private_data);
  if (options->flush_hangs) wait_for_ever();
  return 0;
}

fuse_operations make_operations() {
  fuse_operations operations{};
  operations.getattr = do_getattr;
  operations.readdir = do_readdir;
  operations.open = do_open;
  operations.read = do_read;
  operations.flush = do_flush;
  return operations;
}

// libfuse splits options at ',' and takes '\' as an escape.
std::string escape(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == ',' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

}  // namespace

FuseServer::FuseServer(const ServerOptions& options) {
  fuse_args arguments = FUSE_ARGS_INIT(0, nullptr);
  fuse_opt_add_arg(&arguments, "defused-lab");
  const std::string names = "-osubtype=" + escape(options.subtype) + ",fsname=" + escape(options.source);
  fuse_opt_add_arg(&arguments, names.c_str());
  static const fuse_operations kOperations = make_operations();
  fuse* made = fuse_new(&arguments, &kOperations, sizeof kOperations, const_cast<ServerOptions*>(&options));
  fuse_opt_free_args(&arguments);
  if (made == nullptr) return;
  if (fuse_mount(made, options.mount_point.c_str()) != 0) {
    fuse_destroy(made);
    return;
  }
  fuse_ = made;
}

FuseServer::~FuseServer() = default;  // a lab server ends by being killed; its mount by the end of its namespace

void FuseServer::serve(bool many_threads) {
  auto* server = static_cast<fuse*>(fuse_);
  if (!many_threads) {
    fuse_loop(server);
    return;
  }
  fuse_loop_config* config = fuse_loop_cfg_create();
  constexpr unsigned kThreads = 100;  // each swallowed request keeps one
  fuse_loop_cfg_set_max_threads(config, kThreads);
  fuse_loop_mt(server, config);
  fuse_loop_cfg_destroy(config);
}

}  // namespace lab

// SPDX-License-Identifier: Apache-2.0
#include "muted_server.h"

#define FUSE_USE_VERSION 312
#include <fcntl.h>
#include <fuse3/fuse_lowlevel.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>
#include <thread>
#include <vector>

namespace lab {

namespace {

constexpr fuse_ino_t kFirstFile = 2;
constexpr fuse_ino_t kCreated = 100;
constexpr off_t kSize = 1 << 20;

MutedServer& server_of(fuse_req_t request) { return *static_cast<MutedServer*>(fuse_req_userdata(request)); }

struct stat attributes(fuse_ino_t inode) {
  struct stat status {};
  status.st_ino = inode;
  status.st_mode = inode == FUSE_ROOT_ID ? S_IFDIR | 0755 : S_IFREG | 0600;
  status.st_nlink = inode == FUSE_ROOT_ID ? 2 : 1;
  status.st_size = inode == FUSE_ROOT_ID || inode == kCreated ? 0 : kSize;
  return status;
}

fuse_entry_param entry(fuse_ino_t inode) {
  fuse_entry_param made{};
  made.ino = inode;
  made.attr = attributes(inode);
  made.attr_timeout = made.entry_timeout = 3600;
  return made;
}

}  // namespace

struct Operations {
  static void init(void* data, fuse_conn_info* connection) {
    if (static_cast<MutedServer*>(data)->writeback_cache_) connection->want |= FUSE_CAP_WRITEBACK_CACHE;
  }
  static void lookup(fuse_req_t request, fuse_ino_t /*parent*/, const char* name) {
    const std::string_view text(name);
    if (text.size() != 2 || text[0] != 'f' || text[1] < '0' || text[1] > '9') {
      fuse_reply_err(request, ENOENT);
      return;
    }
    const fuse_entry_param found = entry(kFirstFile + static_cast<fuse_ino_t>(text[1] - '0'));
    fuse_reply_entry(request, &found);
  }
  static void getattr(fuse_req_t request, fuse_ino_t inode, fuse_file_info* /*file*/) {
    server_of(request).answer("getattr", [request, inode] {
      const struct stat status = attributes(inode);
      fuse_reply_attr(request, &status, 3600);
    });
  }
  static void setattr(fuse_req_t request, fuse_ino_t inode, struct stat* /*wanted*/, int /*what*/,
                      fuse_file_info* file) {
    getattr(request, inode, file);
  }
  static void open(fuse_req_t request, fuse_ino_t /*inode*/, fuse_file_info* file) {
    server_of(request).answer("open", [request, info = *file] { fuse_reply_open(request, &info); });
  }
  static void create(fuse_req_t request, fuse_ino_t /*parent*/, const char* /*name*/, mode_t /*mode*/,
                     fuse_file_info* file) {
    const fuse_entry_param made = entry(kCreated);
    fuse_reply_create(request, &made, file);
  }
  static void unlink(fuse_req_t request, fuse_ino_t /*parent*/, const char* /*name*/) { fuse_reply_err(request, 0); }
  static void read(fuse_req_t request, fuse_ino_t /*inode*/, std::size_t size, off_t offset, fuse_file_info* /*file*/) {
    server_of(request).answer("read", [request, size, offset] {
      const std::vector<char> zeros(
          offset >= kSize ? 0 : std::min<std::size_t>(size, static_cast<std::size_t>(kSize - offset)));
      fuse_reply_buf(request, zeros.data(), zeros.size());
    });
  }
  static void write(fuse_req_t request, fuse_ino_t /*inode*/, const char* /*data*/, std::size_t size, off_t /*offset*/,
                    fuse_file_info* /*file*/) {
    server_of(request).answer("write", [request, size] { fuse_reply_write(request, size); });
  }
  static void flush(fuse_req_t request, fuse_ino_t /*inode*/, fuse_file_info* /*file*/) {
    const int result = server_of(request).has_flush_ ? 0 : ENOSYS;
    server_of(request).answer("flush", [request, result] { fuse_reply_err(request, result); });
  }
  static void release(fuse_req_t request, fuse_ino_t /*inode*/, fuse_file_info* /*file*/) {
    server_of(request).answer("release", [request] { fuse_reply_err(request, 0); });
  }
  static void fsync(fuse_req_t request, fuse_ino_t /*inode*/, int /*data_only*/, fuse_file_info* /*file*/) {
    server_of(request).answer("fsync", [request] { fuse_reply_err(request, 0); });
  }
};

std::unique_ptr<MutedServer> MutedServer::mount(const MountOptions& options) {
  static const fuse_lowlevel_ops kOperations = [] {
    fuse_lowlevel_ops made{};
    made.init = Operations::init;
    made.lookup = Operations::lookup;
    made.getattr = Operations::getattr;
    made.setattr = Operations::setattr;
    made.open = Operations::open;
    made.create = Operations::create;
    made.unlink = Operations::unlink;
    made.read = Operations::read;
    made.write = Operations::write;
    made.flush = Operations::flush;
    made.release = Operations::release;
    made.fsync = Operations::fsync;
    return made;
  }();
  std::unique_ptr<MutedServer> server(new MutedServer);
  server->writeback_cache_ = options.writeback_cache;
  server->has_flush_ = options.has_flush;
  // Mounted by hand: libfuse would look into /proc of a PID namespace that may have none.
  const int device = ::open("/dev/fuse", O_RDWR | O_CLOEXEC);
  if (device < 0) return nullptr;
  const std::string data = "fd=" + std::to_string(device) + ",rootmode=40000,user_id=0,group_id=0";
  const std::string type = options.block_device ? "fuseblk" : "fuse." + options.subtype;
  if (::mount(options.source.c_str(), options.mount_point.c_str(), type.c_str(), MS_NOSUID | MS_NODEV, data.c_str()) <
      0) {
    return nullptr;
  }
  fuse_args arguments = FUSE_ARGS_INIT(0, nullptr);
  fuse_opt_add_arg(&arguments, "defused-actor");
  fuse_session* session = fuse_session_new(&arguments, &kOperations, sizeof kOperations, server.get());
  fuse_opt_free_args(&arguments);
  const std::string descriptor = "/dev/fd/" + std::to_string(device);
  if (session == nullptr || fuse_session_mount(session, descriptor.c_str()) != 0) return nullptr;
  server->session_ = session;
  return server;
}

void MutedServer::serve() {
  std::thread([this] {
    fuse_session_loop(static_cast<fuse_session*>(session_));
    ended_ = true;
  }).detach();
}

int MutedServer::descriptor() const { return fuse_session_fd(static_cast<fuse_session*>(session_)); }

void MutedServer::mute(const std::set<std::string>& kinds) {
  const std::lock_guard lock(mutex_);
  muted_.insert(kinds.begin(), kinds.end());
}

void MutedServer::unmute() {
  std::vector<std::function<void()>> kept;
  {
    const std::lock_guard lock(mutex_);
    muted_.clear();
    kept.swap(kept_);
  }
  for (const auto& reply : kept) reply();
}

void MutedServer::answer(const std::string& kind, std::function<void()> reply) {
  {
    const std::lock_guard lock(mutex_);
    if (muted_.count(kind) > 0) {
      kept_.push_back(std::move(reply));
      return;
    }
  }
  reply();
}

}  // namespace lab

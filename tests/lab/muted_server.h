// SPDX-License-Identifier: Apache-2.0
// A FUSE server that can be made to read requests and not answer them, kind by kind, and to answer them later
// (libfuse3, low-level interface). One directory with files f0 to f9 of 1 MiB of zeros; others can be created.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include <functional>

namespace lab {

struct MountOptions {
  std::string mount_point;
  std::string subtype = "defusedlab";  ///< shown as fuse.<subtype>
  std::string source = "lab";
  bool writeback_cache = false;
  bool block_device = false;  ///< fuseblk: `source` is a block device, whose number is the connection's
  bool has_flush = true;      ///< false: answers FLUSH with ENOSYS, whereupon the kernel never sends it again
};

class MutedServer {
 public:
  /// Mounts it in this thread's mount namespace; serving begins with serve(). Null with errno.
  static std::unique_ptr<MutedServer> mount(const MountOptions& options);
  ~MutedServer() = default;  // it ends with its process
  MutedServer(const MutedServer&) = delete;
  MutedServer& operator=(const MutedServer&) = delete;

  /// Serves in a thread of its own until the connection ends.
  void serve();
  /// Whether the kernel has told it that its connection is over: it was aborted, or is mounted nowhere any more.
  [[nodiscard]] bool has_ended() const { return ended_; }
  /// Its /dev/fuse.
  [[nodiscard]] int descriptor() const;
  /// From now on requests of these kinds (flush write read fsync release getattr open) are kept unanswered.
  void mute(const std::set<std::string>& kinds);
  /// Answers all that was kept, and goes on as a good server.
  void unmute();
  /// Runs `reply` now, or keeps it while `kind` is muted.
  void answer(const std::string& kind, std::function<void()> reply);

 private:
  MutedServer() = default;
  void* session_ = nullptr;
  bool writeback_cache_ = false;
  bool has_flush_ = true;
  std::atomic<bool> ended_ = false;
  std::mutex mutex_;
  std::set<std::string> muted_;
  std::vector<std::function<void()>> kept_;
  friend struct Operations;
};

}  // namespace lab

// SPDX-License-Identifier: Apache-2.0
// The lab's FUSE server (libfuse3, high-level interface): a directory with `hello`, `held` and `swallow`.
#pragma once

#include <string>

namespace lab {

struct ServerOptions {
  std::string mount_point;
  std::string subtype;  ///< shown as fuse.<subtype>
  std::string source;
  bool flush_hangs = false;  ///< FLUSH is read and never answered
};

inline constexpr const char* kHelloText = "hello from the lab\n";

/// Mounted, ready to serve. Opening `swallow` is a request that is read and never answered.
class FuseServer {
 public:
  explicit FuseServer(const ServerOptions& options);
  ~FuseServer();
  FuseServer(const FuseServer&) = delete;
  FuseServer& operator=(const FuseServer&) = delete;
  [[nodiscard]] bool mounted() const { return fuse_ != nullptr; }
  /// Serves until the connection ends: in this thread alone, or with as many threads as requests need.
  void serve(bool many_threads);

 private:
  void* fuse_ = nullptr;
};

}  // namespace lab

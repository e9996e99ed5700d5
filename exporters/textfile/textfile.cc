// SPDX-License-Identifier: Apache-2.0
#include "exporters/textfile/textfile.h"

#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "base/descriptors.h"
#include "base/unique_fd.h"
#include "base/whole_io.h"

namespace defused {

namespace {

constexpr mode_t kMode = 0644;  // node_exporter has an account of its own

// Not fsynced: after a crash of the host it is written again, and until then nobody needs it.
Result<void> write_temporary(int directory, const std::string& text) {
  // What an interrupted write has left, or somebody else has put there.
  if (unlinkat(directory, TextfileWriter::kTemporaryName, 0) < 0 && errno != ENOENT) {
    return fail_errno(errno, std::string("removing an old ") + TextfileWriter::kTemporaryName);
  }
  UniqueFd file(openat(directory, TextfileWriter::kTemporaryName, TextfileWriter::kOpenFlags, kMode));
  if (!file) return fail_errno(errno, std::string("making ") + TextfileWriter::kTemporaryName);
  auto written = write_all(file.get(), text);
  // The account's umask, or an access list of the directory, may have taken rights away.
  if (written && fchmod(file.get(), kMode) < 0) written = fail_errno(errno, "changing the mode");
  // A full network file system may say so here only.
  if (close(file.release()) < 0 && written) written = fail_errno(errno, "closing");
  return written;
}

}  // namespace

Result<void> write_textfile(int directory, const std::string& text) {
  auto written = write_temporary(directory, text);
  if (written && renameat(directory, TextfileWriter::kTemporaryName, directory, TextfileWriter::kName) < 0) {
    written = fail_errno(errno, std::string("renaming to ") + TextfileWriter::kName);
  }
  if (!written) unlinkat(directory, TextfileWriter::kTemporaryName, 0);
  return written;
}

void remove_textfile(int directory) {
  unlinkat(directory, TextfileWriter::kName, 0);
  unlinkat(directory, TextfileWriter::kTemporaryName, 0);
}

// What the calling thread holds from now on is `directory` and the standard streams: where the C library wants to say
// why it aborts, it must not be the file's own descriptor.
Result<void> keep_only(int directory) {
  if (unshare(CLONE_FILES) < 0) return fail_errno(errno, "unsharing the descriptors");
  close_descriptors(STDERR_FILENO + 1, directory - 1);
  close_descriptors_from(std::max(directory, STDERR_FILENO) + 1);
  return {};
}

// What the thread and the owner share; it outlives the owner where the thread hangs.
struct TextfileWriter::Shared {
  Done done;
  Files files;
  int directory = -1;
  Result<void> apart;
  std::mutex mutex;
  std::condition_variable changed;
  std::optional<std::string> next;
  bool started = false;
  bool remove = false;
  bool stop = false;
  bool at_work = false;  ///< in the file system, which may hang
  bool ended = false;

  void run() {
    auto kept = keep_only(directory);
    std::unique_lock lock(mutex);
    apart = std::move(kept);
    started = true;
    changed.notify_all();
    while (true) {
      changed.wait(lock, [this] { return stop || remove || next; });
      if (stop) break;
      if (remove) {
        next.reset();
        unlocked(lock, [&] { files.remove(directory); });
        remove = false;
        changed.notify_all();
        continue;
      }
      const std::string text = *std::exchange(next, std::nullopt);
      Result<void> written;
      unlocked(lock, [&] { written = files.write(directory, text); });
      if (!stop) done(written);
    }
    ended = true;
    changed.notify_all();
  }

  template <typename Work>
  void unlocked(std::unique_lock<std::mutex>& lock, Work work) {
    at_work = true;
    lock.unlock();
    work();
    lock.lock();
    at_work = false;
  }
};

TextfileWriter::TextfileWriter(int directory, Done done)
    : TextfileWriter(directory, std::move(done), {&write_textfile, &remove_textfile}) {}

// Returns when the thread has its own table: it may be forbidden a moment later.
TextfileWriter::TextfileWriter(int directory, Done done, Files files) : shared_(std::make_shared<Shared>()) {
  shared_->done = std::move(done);
  shared_->files = std::move(files);
  shared_->directory = directory;
  std::thread([shared = shared_] { shared->run(); }).detach();
  std::unique_lock lock(shared_->mutex);
  shared_->changed.wait(lock, [this] { return shared_->started; });
}

TextfileWriter::~TextfileWriter() {
  std::unique_lock lock(shared_->mutex);
  shared_->stop = true;
  shared_->changed.notify_all();
  shared_->changed.wait(lock, [this] { return shared_->ended || shared_->at_work; });
}

const Result<void>& TextfileWriter::apart() const { return shared_->apart; }

void TextfileWriter::write(std::string text) {
  const std::lock_guard lock(shared_->mutex);
  shared_->next = std::move(text);
  shared_->changed.notify_all();
}

void TextfileWriter::remove(std::chrono::milliseconds patience) {
  std::unique_lock lock(shared_->mutex);
  shared_->next.reset();
  shared_->remove = true;
  shared_->changed.notify_all();
  shared_->changed.wait_for(lock, patience, [this] { return !shared_->remove; });
}

}  // namespace defused

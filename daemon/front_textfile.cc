// SPDX-License-Identifier: Apache-2.0
#include "daemon/front_textfile.h"

#include <cerrno>
#include <utility>

namespace defused {

namespace {

constexpr std::chrono::milliseconds kRemovalPatience{500};  // of the 2 s in which the front is to stop

}  // namespace

FrontTextfile::FrontTextfile(int directory, std::string path, FrontAccount account, Logger& log)
    : path_(std::move(path)),
      account_(account),
      log_(log),
      writer_(directory, [box = box_](const Result<void>& written) {
        const std::lock_guard lock(box->mutex);
        box->last = written;
      }) {
  if (const auto& apart = writer_.apart(); !apart)
    log_.warn("a file system of the textfile that hangs would keep the ports open: " + apart.error().message);
}

void FrontTextfile::write(std::string text, Nanoseconds now) {
  changed_ = false;
  next_write_ = now + kShortest;
  writer_.write(std::move(text));
}

void FrontTextfile::tell() {
  std::optional<Result<void>> last;
  {
    const std::lock_guard lock(box_->mutex);
    last = std::exchange(box_->last, std::nullopt);
  }
  if (!last) return;
  std::string now = *last ? "" : last->error().message;
  if (told_ == now) return;
  const bool first = !told_;
  told_ = now;
  const std::string file = path_ + "/" + TextfileWriter::kName;
  if (now.empty()) return log_.info(file + (first ? " is written after each pass" : " is written again"));
  log_.error(file + " cannot be written: " + now + advice(last->error()));
}

std::string FrontTextfile::advice(const Error& error) const {
  const std::string uid = std::to_string(account_.uid);
  if (error.kind == ErrorKind::denied) {
    return "; uid " + uid + " has to be able to write there: `setfacl -m u:" + uid + ":rwx " + path_ + "`, or `chown " +
           uid + " " + path_ + "`";
  }
  if (error.kind == ErrorKind::gone) return "; the directory that was opened is not there any more: HUP opens it again";
  if (error.code == EROFS) return "; in a systemd unit with ProtectSystem it takes ReadWritePaths=" + path_;
  return {};
}

void FrontTextfile::remove() { writer_.remove(kRemovalPatience); }

}  // namespace defused

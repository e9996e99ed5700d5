// SPDX-License-Identifier: Apache-2.0
#include "daemon/channel.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <type_traits>

#include "base/whole_io.h"

namespace defused {

static_assert(std::is_trivially_copyable_v<Message>, "a message goes over the wire as it is");

namespace {

// No report is larger, and no recording (Cycle::kMostRecorded and the names beside it); a descriptor that claims more
// is not one of ours.
constexpr off_t kMaxMemfdBytes = 512 << 20;

union ControlBuffer {
  cmsghdr header;
  std::array<char, CMSG_SPACE(sizeof(int))> bytes;
};

void attach_descriptor(msghdr& packet, ControlBuffer& control, int descriptor) {
  packet.msg_control = control.bytes.data();
  packet.msg_controllen = control.bytes.size();
  cmsghdr* header = CMSG_FIRSTHDR(&packet);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof descriptor);
  std::memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
}

UniqueFd take_descriptor(msghdr& packet) {
  UniqueFd taken;
  for (cmsghdr* header = CMSG_FIRSTHDR(&packet); header != nullptr; header = CMSG_NXTHDR(&packet, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    int descriptor = -1;
    std::memcpy(&descriptor, CMSG_DATA(header), sizeof descriptor);
    taken.reset(descriptor);
  }
  return taken;
}

}  // namespace

Result<std::pair<UniqueFd, UniqueFd>> make_channel() {
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) < 0) return fail_errno(errno, "socketpair");
  return std::pair(UniqueFd(ends[0]), UniqueFd(ends[1]));
}

Result<void> send_message(int channel, const Message& message, int descriptor) {
  iovec part{const_cast<Message*>(&message),
             sizeof message};  // NOLINT(cppcoreguidelines-pro-type-const-cast): not written
  msghdr packet{};
  packet.msg_iov = &part;
  packet.msg_iovlen = 1;
  ControlBuffer control{};
  if (descriptor >= 0) attach_descriptor(packet, control, descriptor);
  while (sendmsg(channel, &packet, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == ENOBUFS) return fail(ErrorKind::timeout, "the channel is full");
    if (errno == EPIPE || errno == ECONNRESET) return fail(ErrorKind::gone, "the other end of the channel is closed");
    return fail_errno(errno, "sending a message");
  }
  return {};
}

Result<std::optional<Received>> receive_message(int channel, bool wait) {
  Received received;
  iovec part{&received.message, sizeof received.message};
  msghdr packet{};
  packet.msg_iov = &part;
  packet.msg_iovlen = 1;
  ControlBuffer control{};
  packet.msg_control = control.bytes.data();
  packet.msg_controllen = control.bytes.size();
  ssize_t got = 0;
  do {
    got = recvmsg(channel, &packet, MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT));
  } while (got < 0 && errno == EINTR);
  if (got < 0 && errno == EAGAIN) return std::optional<Received>();
  if (got < 0 && errno == ECONNRESET) return fail(ErrorKind::gone, "the other end of the channel is closed");
  if (got < 0) return fail_errno(errno, "receiving a message");
  if (got == 0) return fail(ErrorKind::gone, "the other end of the channel is closed");
  received.descriptor = take_descriptor(packet);
  if (got != static_cast<ssize_t>(sizeof received.message) || (packet.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
    return fail(ErrorKind::malformed, "a message of " + std::to_string(got) + " bytes");
  }
  received.message.phase[sizeof received.message.phase - 1] = '\0';
  return std::optional<Received>(std::move(received));
}

Result<UniqueFd> make_sealed_memfd(const char* name, const std::vector<std::uint8_t>& bytes) {
  UniqueFd memfd(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!memfd) return fail_errno(errno, "memfd_create");
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): bytes are bytes
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (auto written = write_all(memfd.get(), text); !written) {
    return fail_errno(written.error().code, "writing a memfd");
  }
  if (fcntl(memfd.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
    return fail_errno(errno, "sealing a memfd");
  }
  return memfd;
}

std::uint64_t identify_memfd(int descriptor) {
  struct stat status {};
  return fstat(descriptor, &status) == 0 ? static_cast<std::uint64_t>(status.st_ino) : 0;
}

Result<std::vector<std::uint8_t>> read_memfd(int descriptor) {
  struct stat status {};
  if (fstat(descriptor, &status) < 0) return fail_errno(errno, "fstat of a memfd");
  if (status.st_size > kMaxMemfdBytes) return fail(ErrorKind::malformed, "a memfd that is too large");
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(status.st_size));
  for (std::size_t at = 0; at < bytes.size();) {
    const ssize_t got = pread(descriptor, bytes.data() + at, bytes.size() - at, static_cast<off_t>(at));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(errno, "reading a memfd");
    if (got == 0) return fail(ErrorKind::malformed, "a memfd that shrank");
    at += static_cast<std::size_t>(got);
  }
  return bytes;
}

}  // namespace defused

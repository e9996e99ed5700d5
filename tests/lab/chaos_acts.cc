// SPDX-License-Identifier: Apache-2.0
#include "chaos_acts.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <thread>

namespace lab {

namespace {

struct Packet {
  char letter = 'd';
  iovec part{&letter, 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr header{};

  Packet() {
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = control.size();
  }
  Packet(const Packet&) = delete;
  Packet& operator=(const Packet&) = delete;
};

long send_file(int file, int socket) {
  Packet packet;
  cmsghdr* rights = CMSG_FIRSTHDR(&packet.header);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof file);
  std::memcpy(CMSG_DATA(rights), &file, sizeof file);
  const ssize_t sent = sendmsg(socket, &packet.header, MSG_NOSIGNAL | MSG_DONTWAIT);
  close(socket);
  return sent < 0 ? -1 : 0;
}

long take_file(int socket) {
  Packet packet;
  const ssize_t got = recvmsg(socket, &packet.header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  close(socket);
  const cmsghdr* rights = got <= 0 ? nullptr : CMSG_FIRSTHDR(&packet.header);
  if (rights == nullptr || rights->cmsg_type != SCM_RIGHTS) return -1;
  int file = -1;
  std::memcpy(&file, CMSG_DATA(rights), sizeof file);
  return file;
}

bool is_answered_by_a_number(std::uint32_t opcode) {
  return opcode == FUSE_FLUSH || opcode == FUSE_RELEASE || opcode == FUSE_FSYNC || opcode == FUSE_READ;
}

// Until the connection ends. No answer is due to FORGET and to an interrupt.
void answer_all(int device) {
  std::array<char, FUSE_MIN_READ_BUFFER + (1 << 20)>& request = *new std::array<char, FUSE_MIN_READ_BUFFER + (1 << 20)>;
  while (true) {
    const ssize_t got = read(device, request.data(), request.size());
    if (got < 0 && (errno == EINTR || errno == ENOENT || errno == EAGAIN)) continue;
    if (got < static_cast<ssize_t>(sizeof(fuse_in_header))) return;
    fuse_in_header asked{};
    std::memcpy(&asked, request.data(), sizeof asked);
    if (asked.opcode == FUSE_FORGET || asked.opcode == FUSE_BATCH_FORGET || asked.opcode == FUSE_INTERRUPT) continue;
    const fuse_out_header answer{sizeof answer, is_answered_by_a_number(asked.opcode) ? 0 : -EIO, asked.unique};
    // What was interrupted meanwhile is not waited for any more.
    if (write(device, &answer, sizeof answer) < 0 && errno != ENOENT) return;
  }
}

long serve_again(int device) {
  constexpr int kResend = 7;  // FUSE_NOTIFY_RESEND, Linux 6.9
  const fuse_out_header again{sizeof again, kResend, 0};
  if (write(device, &again, sizeof again) < 0) return -1;
  std::thread([device] { answer_all(device); }).detach();
  return 0;
}

long hold_namespace(const std::string& pid, const std::string& kind) {
  return open(("/proc/" + pid + "/ns/" + kind).c_str(), O_RDONLY | O_CLOEXEC);
}

int number(const Words& words, std::size_t at) { return std::stoi(words.at(at)); }

}  // namespace

void add_chaos_acts(Acts& acts) {
  acts["hold_ns"] = [](const Words& words) { return result("open", hold_namespace(words.at(1), words.at(2))); };
  acts["join"] = [](const Words& words) { return result("setns", setns(number(words, 1), 0)); };
  acts["send"] = [](const Words& words) { return result("sendmsg", send_file(number(words, 1), number(words, 2))); };
  acts["take"] = [](const Words& words) { return result("recvmsg", take_file(number(words, 1))); };
  acts["serve"] = [](const Words& words) { return result("resend", serve_again(number(words, 1))); };
}

}  // namespace lab

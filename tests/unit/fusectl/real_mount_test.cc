// SPDX-License-Identifier: Apache-2.0
// The real kernel: fusectl and FUSE mounts of our own in a mount namespace of our own, so that nothing is left behind
// however a test ends. Nothing here can block: nobody calls into these file systems, and nobody answers their INIT,
// which is the one request that waits. Where mounting is not permitted a test says so and passes.
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

#include "base/text.h"
#include "base/unique_fd.h"
#include "fusectl/fuse_root.h"
#include "temporary_directory.h"

namespace defused {

namespace {

namespace fs = std::filesystem;  // for directories of our own only

// A temporary directory below which mounts may be made, or a reason why not.
class MountPlace {
 public:
  MountPlace() {
    fs::create_directory(fusectl());
    const bool ready = unshare(CLONE_NEWNS) == 0 && mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                       mount("fusectl", fusectl().c_str(), "fusectl", 0, nullptr) == 0;
    if (!ready) trouble_ = std::strerror(errno);
  }
  MountPlace(const MountPlace&) = delete;
  MountPlace& operator=(const MountPlace&) = delete;
  ~MountPlace() { umount2(fusectl().c_str(), MNT_DETACH); }
  [[nodiscard]] bool ready() const {
    if (!trouble_.empty()) WARN("not tried, mounting is not possible here: " << trouble_);
    return trouble_.empty();
  }
  [[nodiscard]] std::string fusectl() const { return base_.file("fusectl"); }
  [[nodiscard]] std::string directory(const std::string& name) const {
    fs::create_directory(base_.file(name));
    return base_.file(name);
  }

 private:
  TemporaryDirectory base_;
  std::string trouble_;
};

// A FUSE mount whose server is this test: it holds /dev/fuse and never answers.
class SilentMount {
 public:
  explicit SilentMount(std::string path)
      : path_(std::move(path)), device_(open("/dev/fuse", O_RDWR | O_NONBLOCK | O_CLOEXEC)) {
    const std::string options = "fd=" + std::to_string(device_.get()) + ",rootmode=40000,user_id=0,group_id=0";
    mounted_ = device_.valid() && mount("silent", path_.c_str(), "fuse.unittest", 0, options.c_str()) == 0;
  }
  SilentMount(const SilentMount&) = delete;
  SilentMount& operator=(const SilentMount&) = delete;
  ~SilentMount() { unmount(); }

  [[nodiscard]] bool mounted() const { return mounted_; }
  void unmount() {
    if (mounted_) umount2(path_.c_str(), MNT_DETACH);
    mounted_ = false;
    device_.reset();
  }
  [[nodiscard]] ConnectionId connection() const {
    std::ifstream mountinfo("/proc/self/mountinfo");
    for (std::string line; std::getline(mountinfo, line);) {
      const auto fields = split_fields(line, ' ');
      if (fields.size() < 5 || fields[4] != path_) continue;
      std::string_view device = fields[2];
      const auto major = parse_u64(take_field(device, ':'));
      const auto minor = parse_u64(device);
      REQUIRE((major && minor));
      return connection_of_device(static_cast<std::uint32_t>(*major), static_cast<std::uint32_t>(*minor));
    }
    FAIL("no mount at " << path_);
    return {};
  }
  // ENODEV once the connection is aborted; before that the INIT request, once, and then EAGAIN.
  [[nodiscard]] int read_error() const {
    alignas(std::uint64_t) std::array<char, 16384> request{};
    return ::read(device_.get(), request.data(), request.size()) < 0 ? errno : 0;
  }

 private:
  std::string path_;
  UniqueFd device_;
  bool mounted_ = false;
};

std::optional<ConnectionSample> find_connection(const FuseRoot& root, ConnectionId id) {
  Gaps gaps;
  const auto samples = root.read_connections(gaps);
  CHECK(gaps.empty());
  const auto found = std::find_if(samples.begin(), samples.end(), [&](const auto& it) { return it.id == id; });
  return found == samples.end() ? std::nullopt : std::optional(*found);
}

}  // namespace

TEST_CASE("A real fusectl mount is accepted, and only while it is mounted") {
  const MountPlace place;
  if (!place.ready()) return;
  CHECK(FuseRoot::open(place.fusectl()));
  REQUIRE(umount2(place.fusectl().c_str(), MNT_DETACH) == 0);
  CHECK(FuseRoot::open(place.fusectl()).error().kind == ErrorKind::unsupported);
}

TEST_CASE("Writing aborts that connection and no other; opening none") {
  const MountPlace place;
  if (!place.ready()) return;
  const SilentMount victim(place.directory("victim"));
  const SilentMount neighbour(place.directory("neighbour"));
  REQUIRE(victim.mounted());
  REQUIRE(neighbour.mounted());
  const auto root = FuseRoot::open(place.fusectl());
  REQUIRE(root);
  const auto sample = find_connection(*root, victim.connection());
  REQUIRE(sample);
  CHECK(sample->waiting == 1U);
  CHECK(sample->directory_inode != 0);
  FusectlAborter aborter(place.fusectl());
  CHECK(aborter.open(sample->id, sample->directory_inode + 1).error().kind == ErrorKind::gone);
  auto armed = aborter.open(sample->id, sample->directory_inode);
  REQUIRE(armed);
  CHECK(find_connection(*root, sample->id)->waiting == 1U);
  REQUIRE((*armed)->write());
  CHECK(victim.read_error() == ENODEV);
  CHECK(find_connection(*root, sample->id)->waiting == 0U);
  CHECK(neighbour.read_error() == 0);
  CHECK(neighbour.read_error() == EAGAIN);
}

TEST_CASE("A write through the file of a connection that vanished does nothing to the one that got its number") {
  const MountPlace place;
  if (!place.ready()) return;
  SilentMount first(place.directory("first"));
  REQUIRE(first.mounted());
  const auto root = FuseRoot::open(place.fusectl());
  REQUIRE(root);
  const auto before = find_connection(*root, first.connection());
  REQUIRE(before);
  FusectlAborter aborter(place.fusectl());
  auto armed = aborter.open(before->id, before->directory_inode);
  REQUIRE(armed);
  first.unmount();
  const SilentMount second(place.directory("second"));
  REQUIRE(second.mounted());
  CHECK((*armed)->write());
  CHECK(second.read_error() == 0);
  CHECK(second.read_error() == EAGAIN);
  const auto after = find_connection(*root, second.connection());
  REQUIRE(after);
  if (after->id != before->id) {
    WARN("its number was not used again this time");
    return;
  }
  CHECK(after->directory_inode != before->directory_inode);
  CHECK(aborter.open(before->id, before->directory_inode).error().kind == ErrorKind::gone);
}

}  // namespace defused

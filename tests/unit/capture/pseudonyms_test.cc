// SPDX-License-Identifier: Apache-2.0
#include "capture/pseudonyms.h"

#include <catch2/catch.hpp>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "detect/container.h"
#include "procfs/parse.h"

using namespace defused;

namespace {

const std::string kId(64, 'a');
const std::string kOtherId = std::string(63, 'a') + "b";
const std::string kUid = "1b2c3d4e-0001-0002-0003-0123456789ab";

// What is known of a container by a path, but for its names.
std::string shape(const std::string& path) {
  const auto found = parse_container(path);
  if (!found) return "none";
  const bool by_name = found->runtime == "lxc" || found->runtime == "nspawn";
  const std::string id = by_name ? "a name" : std::to_string(found->id.size());
  return "runtime " + found->runtime + ", id " + id + ", pod " + std::to_string(found->pod_uid.size());
}

std::size_t hints(const std::string& path) {
  const auto table = parse_mountinfo("1 2 0:3 / " + path + " rw - ext4 /dev/vda rw\n", 1);
  return table ? table->container_hints.size() : 99;
}

// What container.cc and parse_tables.cc look at, and what is like it.
const std::vector<std::string> kPaths = {
    "/docker/" + kId,
    "/system.slice/docker-" + kId + ".scope",
    "/system.slice/docker-" + kId + ".service",
    "/system.slice/docker-" + kId + "c.scope",
    "/kubepods/burstable/pod" + kUid + "/" + kId,
    "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1b2c3d4e_0001_0002_0003_0123456789ab.slice/"
    "cri-containerd-" +
        kId + ".scope",
    "/kubepods.slice/kubepods-pod" + std::string(32, '4') + ".slice/crio-" + kId + ".scope",
    "/kubepods.slice/kubepods-pod" + std::string(32, '4') + ".slice/crio-conmon-" + kId + ".scope",
    "/acme-pod" + kUid + "/" + kId,
    "/system.slice/kubelet.service/kubepods-pod" + kUid + ".slice:cri-containerd:" + kId,
    "/machine.slice/libpod-" + kId + ".scope/container",
    "/machine.slice/libpod-conmon-" + kId + ".scope",
    "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" + kId + ".scope",
    "/system.slice/web.service/libpod-payload-" + kId,
    "/libpod_parent/" + kId,
    "/lxc.payload.web/system.slice",
    "/lxc.payload.web.shop",
    "/lxc.payload.",
    "/lxc.payload..hidden",
    "/lxc.payload/web",
    "/lxc.monitor.web",
    "/lxc/web",
    "/lxc/.lxc",
    "/usr/share/lxc/web",
    "/var/lib/lxc/web/rootfs",
    "/user.slice/session-2.scope/lxc/web",
    "/user.slice/session/lxc/web",
    "/docker/" + kId + "/acme/lxc/web",
    "/machine.slice/machine-my\\x2dcrate.scope/payload",
    "/machine.slice/machine-crate.scope/supervisor",
    "/machine.slice/machine-qemu\\x2d1\\x2dvm.scope",
    "/machine.slice/machine-qemu-1.scope",
    "/machine.slice/systemd-nspawn@crate.service",
    "/var/lib/docker/containers/" + kId + "/hostname",
    "/var/lib/docker/overlay2/" + kId + "/merged",
    "/var/lib/docker/overlay2/" + kId + "-init/diff",
    "/var/lib/kubelet/pods/" + kUid + "/volumes/kubernetes.io~secret/token",
    "/opt/k3s-kubelet/pods/" + kUid + "/volumes",
    "/run/containerd/io.containerd.runtime.v2.task/k8s.io/" + kId + "/rootfs",
    "/run/containerd/io.containerd.grpc.v1.cri/sandboxes/" + kId + "/shm",
    "/home/alice/.local/share/containers/storage/overlay-containers/" + kId + "/userdata",
    "/kubelet/kubepods/pod" + kUid + "/" + kId + "/docker/" + kOtherId,
    "/" + kId + " (deleted)",
    "/../../docker/" + kId,
    "/foolxc.payload.web",
    "/x" + kId + "y",
};

const std::vector<std::string> kPieces = {"docker",
                                          "docker-",
                                          kId,
                                          kOtherId,
                                          ".scope",
                                          ".slice",
                                          ".service",
                                          "/",
                                          "/",
                                          "/",
                                          "/",
                                          "pod",
                                          kUid,
                                          "kubepods",
                                          "-",
                                          ":",
                                          "lxc",
                                          "lxc.payload",
                                          ".",
                                          "lxc.monitor",
                                          "machine-",
                                          "systemd-nspawn@",
                                          "qemu-",
                                          "qemu\\x2d",
                                          "web",
                                          "supervisor",
                                          "pods",
                                          "kubelet",
                                          "var",
                                          "lib",
                                          "overlay2",
                                          "libpod-",
                                          "crio-",
                                          "conmon-",
                                          "alice",
                                          "moby",
                                          " (deleted)",
                                          "..",
                                          "f",
                                          "secret",
                                          std::string(32, '7')};

}  // namespace

TEST_CASE("a name has one other name, and no two have the same") {
  Pseudonyms names;
  CHECK(names.name("mysqld") == "name-1");
  CHECK(names.name("sshd") == "name-2");
  CHECK(names.name("mysqld") == "name-1");
  CHECK(names.name("name-1") == "name-3");
  CHECK(names.name("").empty());
}

TEST_CASE("paths keep their depth, what is below what, and words of every host") {
  Pseudonyms names;
  CHECK(names.path("/") == "/");
  CHECK(names.path("").empty());
  CHECK(names.path("/home/alice/secret") == "/home/p-1/p-2");
  CHECK(names.path("/home/alice") == "/home/p-1");
  CHECK(names.path("/srv/../alice//x") == "/srv/../p-1//p-3");
  CHECK(names.path("/var/log/db.log (deleted)") == "/var/p-4/p-5.x (deleted)");
  CHECK(names.path("/dev/fuse") == "/dev/fuse");
  CHECK(names.path("net:[4026531833]") == "net:[4026531833]");
  CHECK(names.path("net:[secret]") == "p-6");
  CHECK(names.path("p-1/docker") == "p-7/docker");
}

TEST_CASE("ids are others of the same length, the same wherever they stand") {
  Pseudonyms names;
  const std::string id = names.component(kId);
  CHECK(id.size() == 64);
  CHECK(id != kId);
  CHECK(names.component("docker-" + kId + ".scope") == "docker-" + id + ".scope");
  CHECK(names.component("system.slice:docker:" + kId) == "system.slice:docker:" + id);
  CHECK(names.component("a:b:" + kOtherId).size() == std::string("p-1:p-2:").size() + 64);
  CHECK(names.component(kOtherId).substr(0, 12) != id.substr(0, 12));
  const std::string uid = names.component(kUid);
  CHECK(uid.size() == 36);
  CHECK(uid[8] == '-');
  std::string escaped = uid;
  for (const std::size_t at : {8U, 13U, 18U, 23U}) escaped[at] = '_';
  CHECK(names.component("kubepods-burstable-pod1b2c3d4e_0001_0002_0003_0123456789ab.slice") ==
        "kubepods-burstable-pod" + escaped + ".slice");
}

TEST_CASE("of each kind of container the same is known afterwards") {
  Pseudonyms names;
  std::set<std::string> seen;
  for (const std::string& path : kPaths) {
    CAPTURE(path, names.path(path));
    const std::string redacted = names.path(path);
    CHECK(shape(redacted) == shape(path));
    CHECK(hints(redacted) == hints(path));
    CHECK(seen.insert(redacted).second);
    CHECK(redacted == names.path(path));
    for (const char* secret : {"alice", "web", "crate", "acme", "aaaaaaaaa", "0123456789ab", "shop", "hidden", "k3s"}) {
      CHECK(redacted.find(secret) == std::string::npos);
    }
  }
}

// Paths made of what the parser looks for, in any order.
TEST_CASE("whatever a path is made of, the same container is known afterwards") {
  std::mt19937 random(7);
  std::uniform_int_distribution<std::size_t> pick(0, kPieces.size() - 1);
  std::uniform_int_distribution<int> length(1, 12);
  std::set<std::string> from;
  std::set<std::string> to;
  Pseudonyms names;
  for (int i = 0; i < 20'000; ++i) {
    std::string path = "/";
    for (int left = length(random); left > 0; --left) path += kPieces[pick(random)];
    if (path.size() > 240) continue;
    const std::string redacted = names.path(path);
    if (shape(redacted) != shape(path)) FAIL(path + " -> " + redacted);
    if (from.insert(path).second != to.insert(redacted).second) FAIL("two paths are one: " + redacted);
    for (const char* secret : {"alice", "web", "secret", "aaaaaaaaa", "0123456789ab", "777777777"}) {
      if (redacted.find(secret) != std::string::npos) FAIL(path + " -> " + redacted);
    }
  }
  CHECK(from.size() > 15'000);
}

TEST_CASE("sources lose user, host, bucket and query") {
  Pseudonyms names;
  CHECK(names.source("ndrive", "fuse.ndrive") == "p-1");
  CHECK(names.source("s3://key:password@bucket/dir?token=x", "fuse.s3fs") == "s3://p-2/p-3");
  CHECK(names.source("juicefs:redis://:pw@db:6379/1", "fuse.juicefs") == "juicefs:redis://p-4/p-5");
  CHECK(names.source("acme://bucket", "fuse") == "p-6//p-7");
  CHECK(names.source("alice@host:/export", "fuse.sshfs") == "p-8/p-9");
  CHECK(names.source("/dev/fuse", "fuse") == "/dev/fuse");
  CHECK(names.source("", "fuse").empty());
  CHECK(names.source("proc", "proc") == "proc");
  CHECK(names.source("none", "fusectl") == "none");
  CHECK(names.source("none", "fuse") == "p-10");
  CHECK(names.source("/dev/mapper/vg-alice", "ext4") == "/dev/p-11/p-12");
}

TEST_CASE("types of file systems stay where they look like types") {
  Pseudonyms names;
  for (const char* type :
       {"fuse", "fuse.s3fs", "fuseblk", "fusectl", "overlay", "virtiofs", "ext4", "fuse.", "", "."}) {
    CHECK(names.fstype(type) == type);
  }
  CHECK(names.fstype("fuse.my secret") == "fuse.p-1");
  CHECK(names.fstype("fuse." + std::string(33, 'x')) == "fuse.p-2");
}

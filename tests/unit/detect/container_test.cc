// SPDX-License-Identifier: Apache-2.0
#include "detect/container.h"

#include <catch2/catch.hpp>

using namespace defused;

namespace {
const std::string kId = "3bd9ede1fe0b02766920dc46597acfc53e635a5a9bc494cce3d79e78e75b5bde";
}

TEST_CASE("containers from cgroup paths") {
  struct Sample {
    std::string path, id, runtime, pod_uid;
  };
  const std::vector<Sample> samples = {
      {"/docker/" + kId, kId, "docker", ""},
      {"/system.slice/docker-" + kId + ".scope", kId, "docker", ""},
      {"/machine.slice/libpod-" + kId + ".scope/container", kId, "podman", ""},
      {"/libpod_parent/libpod-" + kId, kId, "podman", ""},
      {"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1b2c3d4e_0001_0002_0003_0123456789ab.slice/"
       "cri-containerd-" +
           kId + ".scope",
       kId, "containerd", "1b2c3d4e-0001-0002-0003-0123456789ab"},
      {"/kubepods/besteffort/pod1b2c3d4e-0001-0002-0003-0123456789ab/" + kId, kId, "",
       "1b2c3d4e-0001-0002-0003-0123456789ab"},
      {"/kubepods.slice/kubepods-pod1b2c3d4e_0001_0002_0003_0123456789ab.slice/crio-" + kId + ".scope", kId, "cri-o",
       "1b2c3d4e-0001-0002-0003-0123456789ab"},
      {"/lxc.payload.web1", "web1", "lxc", ""},
      {"/lxc/web1", "web1", "lxc", ""},
      {"/machine.slice/machine-deb12.scope/payload", "deb12", "nspawn", ""},
      {"/var/lib/docker/containers/" + kId + "/hostname", kId, "docker", ""},
  };
  for (const Sample& sample : samples) {
    CAPTURE(sample.path);
    const auto found = parse_container(sample.path);
    REQUIRE(found);
    CHECK(found->id == sample.id);
    CHECK(found->runtime == sample.runtime);
    CHECK(found->pod_uid == sample.pod_uid);
  }
}

TEST_CASE("paths that name no container") {
  for (const char* path : {"", "/", "/user.slice/user-1000.slice", "/system.slice/ssh.service", "/docker/short"}) {
    CAPTURE(path);
    CHECK_FALSE(parse_container(path));
  }
  CHECK_FALSE(parse_container("/machine.slice/libpod-conmon-" + kId + ".scope"));
}

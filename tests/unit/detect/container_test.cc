// SPDX-License-Identifier: Apache-2.0
#include "detect/container.h"

#include <catch2/catch.hpp>

#include "base/text.h"

using namespace defused;

namespace {

const std::string kContainerId = "3bd9ede1fe0b02766920dc46597acfc53e635a5a9bc494cce3d79e78e75b5bde";
const std::string kOuterContainer = "d6701ec289c56e4391acb11d07474b3139466857a305490575508a8b7a9fcf22";
const std::string kOtherContainer = "a09bc17f5aa29b0dbdec9ede5f46cf1396d2405917ab02e6f1eb1019f388396e";
const std::string kUid = "1b2c3d4e-0001-0002-0003-0123456789ab";
const std::string kUidInSlice = "1b2c3d4e_0001_0002_0003_0123456789ab";
const std::string kStaticUid = "6a1b9d2f0c3e4857a1b2c3d4e5f60718";

const std::string kKubepods =
    "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + kUidInSlice + ".slice";
const std::string kUserUnits = "/user.slice/user-1000.slice/user@1000.service";
const std::string kKindPods =
    "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/"
    "kubelet-kubepods-besteffort-pod" +
    kUidInSlice + ".slice";
const std::string kDockerNode = "/system.slice/docker-" + kOuterContainer + ".scope";

struct Sample {
  std::string from;
  std::string path;
  std::string id;
  std::string runtime;
  std::string pod_uid = {};
};

void check(const std::vector<Sample>& samples) {
  for (const Sample& sample : samples) {
    CAPTURE(sample.from, sample.path);
    const auto found = parse_container(sample.path);
    CHECK(found);
    if (!found) continue;
    CHECK(found->id == sample.id);
    CHECK(found->runtime == sample.runtime);
    CHECK(found->pod_uid == sample.pod_uid);
  }
}

struct Nothing {
  std::string what;
  std::string path;
};

void check_none(const std::vector<Nothing>& samples) {
  for (const Nothing& sample : samples) {
    CAPTURE(sample.what, sample.path);
    CHECK_FALSE(parse_container(sample.path));
  }
}

}  // namespace

TEST_CASE("container: Docker's cgroups") {
  check({
      {"captures/linux-6.18.44-docker, v1 and cgroupfs", "/docker/" + kContainerId, kContainerId, "docker"},
      {"systemd driver", "/system.slice/docker-" + kContainerId + ".scope", kContainerId, "docker"},
      {"a cgroup made inside", "/system.slice/docker-" + kContainerId + ".scope/init", kContainerId, "docker"},
      {"systemd in the container", "/docker/" + kContainerId + "/system.slice/ssh.service", kContainerId, "docker"},
      {"rootless", kUserUnits + "/user.slice/docker-" + kContainerId + ".scope", kContainerId, "docker"},
      {"--cgroup-parent=web.slice", "/web.slice/docker-" + kContainerId + ".scope", kContainerId, "docker"},
      {"--cgroup-parent=/actions_job: GitHub's runners", "/actions_job/" + kContainerId, kContainerId, ""},
      {"Docker Desktop", "/docker-ce/docker/" + kContainerId, kContainerId, "docker"},
      {"buildx, driver docker-container", "/docker/buildx/" + kContainerId, kContainerId, "docker"},
      {"a build step below it has no id", "/docker/buildx/" + kContainerId + "/buildkit/sd3yqpv8m2h5k1c7x0tz4nwba",
       kContainerId, "docker"},
      {"runc without systemd's cgroups", "/system.slice/containerd.service/system.slice:docker:" + kContainerId,
       kContainerId, "docker"},
      {"old Debian, no parent", "/" + kContainerId, kContainerId, ""},
      {"Amazon ECS on EC2", "/ecs/0123456789abcdef0123456789abcdef/" + kContainerId, kContainerId, "docker"},
      {"ECS, old", "/ecs/web/55091c13-b8cf-4801-b527-f4601742204d/" + kContainerId, kContainerId, "docker"},
      {"ECS, systemd driver",
       "/ecstasks.slice/ecstasks-0123456789abcdef0123456789abcdef.slice/docker-" + kContainerId + ".scope",
       kContainerId, "docker"},
      {"an exiting task, v2", "/system.slice/docker-" + kContainerId + ".scope (deleted)", kContainerId, "docker"},
      {"an exiting task, v2, cgroupfs", "/docker/" + kContainerId + " (deleted)", kContainerId, "docker"},
      {"seen from a sibling cgroup namespace", "/../docker-" + kContainerId + ".scope", kContainerId, "docker"},
  });
}

TEST_CASE("container: containerd's cgroups") {
  check({
      {"nerdctl, systemd driver", "/system.slice/nerdctl-" + kContainerId + ".scope", kContainerId, "containerd"},
      {"nerdctl, rootless", kUserUnits + "/user.slice/nerdctl-" + kContainerId + ".scope", kContainerId, "containerd"},
      {"nerdctl, cgroupfs: its namespace", "/default/" + kContainerId, kContainerId, "containerd"},
      {"nerdctl -n k8s.io", "/k8s.io/" + kContainerId, kContainerId, "containerd"},
      {"Docker's namespace", "/moby/" + kContainerId, kContainerId, "docker"},
      {"nerdctl, runc without systemd's cgroups", "/system.slice:nerdctl:" + kContainerId, kContainerId, "containerd"},
  });
}

TEST_CASE("container: podman's cgroups") {
  const std::string pod = "libpod_pod_" + kOuterContainer;
  check({
      {"rootful", "/machine.slice/libpod-" + kContainerId + ".scope", kContainerId, "podman"},
      {"rootful, crun", "/machine.slice/libpod-" + kContainerId + ".scope/container", kContainerId, "podman"},
      {"rootless", kUserUnits + "/user.slice/libpod-" + kContainerId + ".scope/container", kContainerId, "podman"},
      {"cgroupfs", "/libpod_parent/libpod-" + kContainerId, kContainerId, "podman"},
      {"cgroupfs, rootless", "/user.slice/user-1000.slice/session-3.scope/libpod_parent/libpod-" + kContainerId,
       kContainerId, "podman"},
      {"cgroupfs, in a pod", "/libpod_parent/" + kOuterContainer + "/libpod-" + kContainerId, kContainerId, "podman"},
      {"pod", "/machine.slice/machine-" + pod + ".slice/libpod-" + kContainerId + ".scope/container", kContainerId,
       "podman"},
      {"pod, rootless", kUserUnits + "/user.slice/user-" + pod + ".slice/libpod-" + kContainerId + ".scope",
       kContainerId, "podman"},
      {"quadlet (--cgroups=split)", "/system.slice/nginx.service/libpod-payload-" + kContainerId, kContainerId,
       "podman"},
      {"quadlet, rootless", kUserUnits + "/app.slice/redis.service/libpod-payload-" + kContainerId, kContainerId,
       "podman"},
      {"crun without systemd's cgroups", "/machine.slice:libpod:" + kContainerId, kContainerId, "podman"},
  });
}

TEST_CASE("container: Kubernetes' cgroups") {
  const std::string conmon = "/crio-conmon-" + kContainerId + ".scope";
  check({
      {"containerd", kKubepods + "/cri-containerd-" + kContainerId + ".scope", kContainerId, "containerd", kUid},
      {"CRI-O", kKubepods + "/crio-" + kContainerId + ".scope", kContainerId, "cri-o", kUid},
      {"CRI-O, crun", kKubepods + "/crio-" + kContainerId + ".scope/container", kContainerId, "cri-o", kUid},
      {"Docker", kKubepods + "/docker-" + kContainerId + ".scope", kContainerId, "docker", kUid},
      {"guaranteed", "/kubepods.slice/kubepods-pod" + kUidInSlice + ".slice/crio-" + kContainerId + ".scope",
       kContainerId, "cri-o", kUid},
      {"cgroupfs", "/kubepods/burstable/pod" + kUid + "/" + kContainerId, kContainerId, "", kUid},
      {"cgroupfs, best effort", "/kubepods/besteffort/pod" + kUid + "/" + kContainerId, kContainerId, "", kUid},
      {"cgroupfs, guaranteed", "/kubepods/pod" + kUid + "/" + kContainerId, kContainerId, "", kUid},
      {"cgroupfs, CRI-O", "/kubepods/burstable/pod" + kUid + "/crio-" + kContainerId, kContainerId, "cri-o", kUid},
      {"static pod", "/kubepods/burstable/pod" + kStaticUid + "/" + kContainerId, kContainerId, "", kStaticUid},
      {"static pod, systemd driver",
       "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + kStaticUid + ".slice/cri-containerd-" +
           kContainerId + ".scope",
       kContainerId, "containerd", kStaticUid},
      {"kubelet --cgroup-root=/kubelet", "/kubelet" + kKubepods + "/cri-containerd-" + kContainerId + ".scope",
       kContainerId, "containerd", kUid},
      {"drivers that differ (opentelemetry-java#4507)",
       "/system.slice/containerd.service/kubepods-besteffort-pod" + kUidInSlice +
           ".slice:cri-containerd:" + kContainerId,
       kContainerId, "containerd", kUid},
      {"LinuxKit: the docker above is not the runtime", "/podruntime/docker/kubepods/pod" + kUid + "/" + kContainerId,
       kContainerId, "", kUid},
      {"conmon is in the pod and no container", kKubepods + conmon, "", "", kUid},
      {"the pod itself", kKubepods, "", "", kUid},
  });
}

TEST_CASE("container: LXC, LXD, Incus and systemd-nspawn have names") {
  check({
      {"LXD, Incus, LXC 4", "/lxc.payload.web1", "web1", "lxc"},
      {"LXD, a project's", "/lxc.payload.shop_web-1/system.slice/ssh.service", "shop_web-1", "lxc"},
      {"LXC 3.1", "/lxc.payload/web1", "web1", "lxc"},
      {"LXC 2, LXD 3", "/lxc/web1/init.scope", "web1", "lxc"},
      {"Proxmox", "/lxc/100/ns/init.scope", "100", "lxc"},
      {"unprivileged", "/user.slice/user-1000.slice/session-2.scope/lxc/web1", "web1", "lxc"},
      {"unprivileged, v2", kUserUnits + "/app.slice/run-r0123456789abcdef0123456789abcdef.scope/lxc.payload.web1",
       "web1", "lxc"},
      {"Docker 0.x with the LXC driver", "/lxc/" + kContainerId, kContainerId, "lxc"},
      {"a byte the caller escaped", R"(/lxc.payload.w\xe9b)", R"(w\xe9b)", "lxc"},
      {"LXC's root on a mount", "/var/lib/lxc/web1/rootfs", "web1", "lxc"},
      {"nspawn", "/machine.slice/machine-deb12.scope", "deb12", "nspawn"},
      {"nspawn, v2", "/machine.slice/machine-deb12.scope/payload/init.scope", "deb12", "nspawn"},
      {"nspawn, a dash in the name", R"(/machine.slice/machine-my\x2dweb\x2d1.scope/payload)", "my-web-1", "nspawn"},
      {"nspawn, dots", "/machine.slice/machine-a.example.org.scope", "a.example.org", "nspawn"},
      {"nspawn as a service", "/machine.slice/systemd-nspawn@web-1.service/payload", "web-1", "nspawn"},
      {"nspawn, an escaped instance", R"(/machine.slice/systemd-nspawn@web\x2d1.service)", "web-1", "nspawn"},
      {"no control character comes back", R"(/machine.slice/machine-a\x0ab\x7f\x2f\x5c.scope)", R"(a\x0ab\x7f\x2f\x5c)",
       "nspawn"},
      {"half an escape", R"(/machine.slice/machine-a\x2.scope)", R"(a\x2)", "nspawn"},
  });
}

TEST_CASE("container: the innermost of nested ones wins") {
  check({
      {"Docker in Docker", "/docker/" + kOuterContainer + "/docker/" + kContainerId, kContainerId, "docker"},
      {"Docker in Docker, systemd driver", kDockerNode + "/system.slice/docker-" + kContainerId + ".scope",
       kContainerId, "docker"},
      {"podman in Docker", "/docker/" + kOuterContainer + "/libpod_parent/libpod-" + kContainerId, kContainerId,
       "podman"},
      {"kind, cgroupfs: not Docker's",
       "/docker/" + kOuterContainer + "/kubelet/kubepods/besteffort/pod" + kUid + "/" + kContainerId, kContainerId, "",
       kUid},
      {"kind", kDockerNode + kKindPods + "/cri-containerd-" + kContainerId + ".scope", kContainerId, "containerd",
       kUid},
      {"kind, v1", "/docker/" + kOuterContainer + kKindPods + "/cri-containerd-" + kContainerId + ".scope",
       kContainerId, "containerd", kUid},
      {"kind on podman",
       "/machine.slice/libpod-" + kOuterContainer + ".scope/container" + kKindPods + "/cri-containerd-" + kContainerId +
           ".scope",
       kContainerId, "containerd", kUid},
      {"kind's node", kDockerNode + "/system.slice/containerd.service", kOuterContainer, "docker"},
      {"kind, systemd of the node", kDockerNode + "/init.scope", kOuterContainer, "docker"},
      {"kind, cut: the node is not in the pod",
       kDockerNode + kKindPods + "/cri-containerd-" + kContainerId.substr(0, 40), "", "", kUid},
      {"minikube with CRI-O", "/docker/" + kOuterContainer + kKubepods + "/crio-" + kContainerId + ".scope",
       kContainerId, "cri-o", kUid},
      {"k3d", "/docker/" + kOuterContainer + "/kubepods/burstable/pod" + kUid + "/" + kContainerId, kContainerId, "",
       kUid},
      {"Docker in a pod", kKubepods + "/cri-containerd-" + kOuterContainer + ".scope/docker/" + kContainerId,
       kContainerId, "docker", kUid},
      {"Docker in LXC", "/lxc.payload.web1/docker/" + kContainerId, kContainerId, "docker"},
      {"Docker in nspawn", "/machine.slice/machine-deb12.scope/payload/docker/" + kContainerId, kContainerId, "docker"},
      {"LXC in Docker", "/docker/" + kOuterContainer + "/lxc.payload.web1", "web1", "lxc"},
      {"LXC in LXC", "/lxc/100/ns/lxc/101/ns", "101", "lxc"},
      {"conmon in Docker", "/docker/" + kOuterContainer + "/libpod_parent/libpod-conmon-" + kContainerId,
       kOuterContainer, "docker"},
      {"LXC's monitor in Docker", "/docker/" + kOuterContainer + "/lxc.monitor.web1", kOuterContainer, "docker"},
      {"nspawn's supervisor in Docker", "/docker/" + kOuterContainer + "/machine.slice/machine-deb12.scope/supervisor",
       kOuterContainer, "docker"},
  });
}

TEST_CASE("container: roots and mount points of mountinfo") {
  const std::string task = "io.containerd.runtime.v2.task/";
  check({
      {"captures/linux-6.18.44-docker", "/var/lib/docker/containers/" + kContainerId + "/resolv.conf", kContainerId,
       "docker"},
      {"deleted since", "/var/lib/docker/containers/" + kContainerId + "/hostname//deleted", kContainerId, "docker"},
      {"/var on its own disk", "/lib/docker/containers/" + kContainerId + "/hosts", kContainerId, "docker"},
      {"Docker's directory on its own disk", "/containers/" + kContainerId + "/hosts", kContainerId, ""},
      {"Docker's snap", "/var/snap/docker/common/var-lib-docker/containers/" + kContainerId + "/hosts", kContainerId,
       "docker"},
      {"Docker with containerd's images", "/var/lib/docker/rootfs/overlayfs/" + kContainerId, kContainerId, "docker"},
      {"rootless Docker", "/home/ann/.local/share/docker/containers/" + kContainerId + "/hosts", kContainerId,
       "docker"},
      {"a v1 cgroup mount", "/docker/" + kContainerId, kContainerId, "docker"},
      {"containers/storage: podman or CRI-O",
       "/var/lib/containers/storage/overlay-containers/" + kContainerId + "/userdata/shm", kContainerId, ""},
      {"the same in /run, a tmpfs", "/containers/storage/overlay-containers/" + kContainerId + "/userdata/hostname",
       kContainerId, ""},
      {"rootless podman",
       "/home/ann/.local/share/containers/storage/overlay-containers/" + kContainerId + "/userdata/resolv.conf",
       kContainerId, "podman"},
      {"containerd", "/run/containerd/" + task + "k8s.io/" + kContainerId + "/rootfs", kContainerId, "containerd"},
      {"containerd below /run", "/containerd/" + task + "default/" + kContainerId + "/rootfs", kContainerId,
       "containerd"},
      {"k3s", "/run/k3s/containerd/" + task + "k8s.io/" + kContainerId + "/rootfs", kContainerId, "containerd"},
      {"Docker in containerd", "/run/containerd/" + task + "moby/" + kContainerId + "/rootfs", kContainerId, "docker"},
      {"cri plugin", "/var/lib/containerd/io.containerd.grpc.v1.cri/containers/" + kContainerId + "/volumes/x",
       kContainerId, "containerd"},
      {"nerdctl", "/var/lib/nerdctl/1935db59/containers/default/" + kContainerId + "/resolv.conf", kContainerId,
       "containerd"},
      {"kubelet", "/var/lib/kubelet/pods/" + kUid + "/volumes/kubernetes.io~csi/pvc-" + kStaticUid + "/mount", "", "",
       kUid},
      {"kubelet, /etc/hosts", "/var/lib/kubelet/pods/" + kUid + "/etc-hosts", "", "", kUid},
      {"kubelet, static pod", "/var/lib/kubelet/pods/" + kStaticUid + "/containers/etcd/1a2b3c4d", "", "", kStaticUid},
      {"kubelet in kind: the volume's id is none",
       "/var/lib/docker/volumes/" + kOtherContainer + "/_data/lib/kubelet/pods/" + kUid + "/etc-hosts", "", "", kUid},
      {"a v1 cgroup mount in a pod", "/kubepods/besteffort/pod" + kUid + "/" + kContainerId, kContainerId, "", kUid},
  });
}

TEST_CASE("container: paths that name none") {
  check_none({
      {"nothing", ""},
      {"root", "/"},
      {"empty components", "////"},
      {"above the namespace", "/../.."},
      {"systemd", "/init.scope"},
      {"login", "/user.slice/user-1000.slice/session-3.scope"},
      {"user manager", kUserUnits + "/init.scope"},
      {"desktop", kUserUnits + "/app.slice/app-gnome-firefox-1234.scope"},
      {"systemd-run --user", kUserUnits + "/app.slice/run-r0123456789abcdef0123456789abcdef.scope"},
      {"terminal", kUserUnits + "/app.slice/vte-spawn-1b2c3d4e-0001-0002-0003-0123456789ab.scope"},
      {"flatpak", kUserUnits + "/app.slice/app-flatpak-org.gimp.GIMP-4711.scope"},
      {"ssh", "/system.slice/ssh.service"},
      {"dockerd", "/system.slice/docker.service"},
      {"containerd and its shims", "/system.slice/containerd.service"},
      {"kubelet", "/system.slice/kubelet.service"},
      {"kubelet in kind", "/kubelet.slice/kubelet.service"},
      {"QoS class", "/kubepods.slice/kubepods-burstable.slice"},
      {"QoS class, cgroupfs", "/kubepods/besteffort"},
      {"LXC's service", "/system.slice/lxc-net.service"},
      {"LXC's monitor", "/lxc.monitor.web1"},
      {"LXC's monitor, Proxmox and 3.1", "/lxc.monitor/100"},
      {"LXC's monitor, a name of digits", "/lxc.monitor/" + kContainerId},
      {"LXC's pivot", "/lxc.pivot"},
      {"LXC's files", "/usr/share/lxc/config"},
      {"LXC's mount point", "/usr/lib/x86_64-linux-gnu/lxc/rootfs"},
      {"lxcfs", "/var/lib/lxcfs/proc/cpuinfo"},
      {"LXC without a name", "/lxc"},
      {"LXC with an empty name", "/lxc.payload."},
      {"LXC above", "/lxc/.."},
      {"nspawn's own process", "/machine.slice/machine-deb12.scope/supervisor"},
      {"nspawn's own process, service", "/machine.slice/systemd-nspawn@deb12.service/supervisor"},
      {"nspawn without a name", "/machine.slice/machine-.scope"},
      {"virtual machine", R"(/machine.slice/machine-qemu\x2d1\x2ddeb12.scope/libvirt/emulator)"},
      {"podman's pod", "/machine.slice/machine-libpod_pod_" + kContainerId + ".slice"},
      {"podman's pod, cgroupfs", "/libpod_parent/" + kContainerId + "/conmon"},
      {"podman's conmon", "/machine.slice/libpod-conmon-" + kContainerId + ".scope"},
      {"podman's conmon, rootless", kUserUnits + "/user.slice/libpod-conmon-" + kContainerId + ".scope"},
      {"podman's conmon, quadlet", "/system.slice/nginx.service/runtime"},
      {"podman's health check", "/system.slice/" + kContainerId + ".service"},
      {"podman's health check, 5", "/system.slice/" + kContainerId + "-1a2b3c4d.service"},
      {"CRI-O's conmon", "/system.slice/crio-conmon-" + kContainerId + ".scope"},
      {"captures/linux-6.18.44-docker: a layer", "/var/lib/docker/overlay2/" + kContainerId + "/merged"},
      {"podman's layer", "/var/lib/containers/storage/overlay/" + kContainerId + "/merged"},
      {"fuse-overlayfs' layer", "/var/lib/docker/fuse-overlayfs/" + kContainerId + "/merged"},
      {"nameless volume", "/var/lib/docker/volumes/" + kContainerId + "/_data"},
      {"volume plugin", "/var/lib/docker/plugins/" + kContainerId + "/propagated-mount"},
      {"image", "/var/lib/containerd/io.containerd.content.v1.content/blobs/sha256/" + kContainerId},
      {"pod sandbox", "/var/lib/containerd/io.containerd.grpc.v1.cri/sandboxes/" + kContainerId + "/hostname"},
      {"ECS' Fargate, seen from inside only", "/ecs/" + kStaticUid + "/" + kStaticUid + "-2531612879"},
  });
}

TEST_CASE("container: ids and uids that are not quite") {
  std::string upper = kContainerId;
  upper[0] = 'B';
  std::string uid = kUid;
  uid[8] = '0';
  check_none({
      {"63 digits", "/docker/" + kContainerId.substr(1)},
      {"65 digits", "/docker/" + kContainerId + "0"},
      {"63 digits, scope", "/system.slice/docker-" + kContainerId.substr(1) + ".scope"},
      {"65 digits, scope", "/system.slice/docker-" + kContainerId + "0.scope"},
      {"uppercase", "/docker/" + upper},
      {"uppercase, scope", "/system.slice/docker-" + upper + ".scope"},
      {"no digit", "/docker/g" + kContainerId.substr(1)},
      {"another unit", "/system.slice/docker-" + kContainerId + ".mount"},
      {"another prefix", "/system.slice/xdocker-" + kContainerId + ".scope"},
      {"twice", "/system.slice/docker-" + kContainerId + "-" + kContainerId + ".scope"},
      {"with a short name", "/docker/short"},
      {"uid without a dash", "/kubepods/pod" + uid},
      {"uid cut", "/kubepods/pod" + kUid.substr(1)},
      {"uid and more", "/kubepods/pod" + kUid + "0"},
      {"uid in uppercase", "/kubepods/pod1B2C3D4E-0001-0002-0003-0123456789AB"},
      {"static uid cut", "/kubepods/pod" + kStaticUid.substr(1)},
      {"not a pod", "/kubepods/tripod" + kUid},
      {"no uid", "/kubepods/pod"},
      {"colons without an id", "/system.slice:docker:short"},
      {"a colon and nothing", "/a:/:b/:"},
  });
}

TEST_CASE("container: hostile paths are only slow, and not very") {
  check({
      {"empty components", "//docker///" + kContainerId + "//", kContainerId, "docker"},
      {"no slash in front", "docker/" + kContainerId, kContainerId, "docker"},
      {"bytes the caller escaped", R"(/\xff\x00/docker/)" + kContainerId + R"(/\xe2\x80)", kContainerId, "docker"},
  });
  std::string deep;
  for (int i = 0; i < 100000; ++i) deep += "/a";
  CHECK_FALSE(parse_container(deep));
  CHECK(parse_container(deep + "/docker/" + kContainerId)->id == kContainerId);
  CHECK_FALSE(parse_container(std::string(1'000'000, '/')));
  CHECK_FALSE(parse_container(std::string(1'000'000, 'a')));
  CHECK_FALSE(parse_container(std::string(1'000'000, ':')));
  CHECK_FALSE(parse_container("/docker-" + std::string(1'000'000, '0')));
  CHECK_FALSE(parse_container(std::string_view("\0/\0pod\0", 7)));
  // Every cut of a path, and every byte in place of each: an answer or none, but no harm.
  const std::string full =
      R"(/lxc/a/machine-x\x2dy.scope/kubepods-pod)" + kUidInSlice + ".slice:cri-containerd:" + kContainerId;
  for (std::size_t length = 0; length <= full.size(); ++length) {
    parse_container(std::string_view(full).substr(0, length));
    parse_container(std::string_view(full).substr(length));
  }
  for (std::size_t at = 0; at < full.size(); ++at) {
    for (int byte = 0; byte < 256; ++byte) {
      std::string changed = full;
      changed[at] = static_cast<char>(byte);
      if (const auto found = parse_container(changed)) CHECK(sanitize(found->pod_uid) == found->pod_uid);
    }
  }
}

TEST_CASE("container: of several paths the first with an id, else with a pod") {
  const std::string pod = "/kubepods/besteffort/pod" + kUid;
  CHECK_FALSE(find_container({}));
  CHECK_FALSE(find_container({"/", "/init.scope"}));
  CHECK(find_container({"/system.slice/containerd.service", "/docker/" + kContainerId, "/docker/" + kOtherContainer})
            ->id == kContainerId);
  CHECK(find_container({pod, pod + "/" + kContainerId})->id == kContainerId);
  const auto found = find_container({"/init.scope", pod});
  REQUIRE(found);
  CHECK(found->id.empty());
  CHECK(found->pod_uid == kUid);
}

// SPDX-License-Identifier: Apache-2.0
#include "policy/selectors.h"

#include <catch2/catch.hpp>
#include <string>

#include "cases.h"

using namespace std::chrono_literals;

namespace defused {

namespace {

using Gates = std::vector<Gate>;
using Texts = std::vector<std::string>;

const Gates kNone;
const Gates kDenied = {Gate::denied};
const Gates kNotAllowed = {Gate::not_allowed};
const Gates kBoth = {Gate::denied, Gate::not_allowed};

/// A list of patterns, its value in the clear case, and how to make that unknown.
struct List {
  const char* name;
  Texts Selectors::*list;
  std::string value;
  void (*forget)(Asked&);
};

const std::vector<List>& lists() {
  static const std::vector<List> kLists = {
      {"fstypes", &Selectors::fstypes, "fuse.ndrive", [](Asked& it) { it.connection().fstype.clear(); }},
      {"sources", &Selectors::sources, "ndrive:team", [](Asked& it) { it.connection().source.clear(); }},
      {"mount_points", &Selectors::mount_points, "/data", [](Asked& it) { it.connection().mount_points.clear(); }},
      {"container_ids", &Selectors::container_ids, kContainerId, [](Asked& it) { it.finding().container.reset(); }},
      {"pod_uids", &Selectors::pod_uids, kPodUid, [](Asked& it) { it.finding().container->pod_uid.clear(); }},
      {"cgroups", &Selectors::cgroups, std::string("/kubepods.slice/") + kContainerId,
       [](Asked& it) { it.finding().cgroup.clear(); }},
  };
  return kLists;
}

bool is_type(const List& list) { return list.list == &Selectors::fstypes; }

// As long as sanitize() lets it become.
const std::string kLongest(256, 'a');

}  // namespace

TEST_CASE("Each list of deny matches its own value and no other") {
  for (const List& list : lists()) {
    INFO(list.name);
    Asked asked = make_clear_case();
    Texts& patterns = asked.policy.deny.*list.list;
    patterns = {list.value};
    CHECK(asked.gates() == kDenied);
    patterns = {"nothing", list.value.substr(0, 3) + "*"};
    CHECK(asked.gates() == kDenied);
    patterns = {"?" + list.value.substr(1)};
    CHECK(asked.gates() == kDenied);
    patterns = {list.value.substr(1), list.value + "?", "*x*y*z*"};
    CHECK(asked.gates() == kNone);
    for (const List& other : lists()) {
      if (other.list == list.list) continue;
      asked.policy.deny = PolicySettings{}.deny;
      asked.policy.deny.*other.list = {list.value};
      CHECK(asked.gates() == kNone);
    }
  }
}

TEST_CASE("Each list of allow that is not empty asks for its own value") {
  for (const List& list : lists()) {
    INFO(list.name);
    Asked asked = make_clear_case();
    Texts& patterns = asked.policy.allow.*list.list;
    patterns = {"nothing", list.value};
    CHECK(asked.gates() == kNone);
    patterns = {"*" + list.value.substr(3)};
    CHECK(asked.gates() == kNone);
    patterns = {"nothing"};
    CHECK(asked.gates() == kNotAllowed);
    patterns = {};
    CHECK(asked.gates() == (is_type(list) ? kNotAllowed : kNone));
  }
}

TEST_CASE("What is not known is matched by nothing, and not allowed where there is a list for it") {
  for (const List& list : lists()) {
    INFO(list.name);
    Asked asked = make_clear_case();
    list.forget(asked);
    CHECK(asked.gates() == (is_type(list) ? kNotAllowed : kNone));
    SECTION(std::string("allow ") + list.name) {
      asked.policy.allow.*list.list = {"*"};
      CHECK(asked.gates() == kNotAllowed);
    }
    SECTION(std::string("deny ") + list.name) {
      asked.policy.deny.*list.list = {"*"};
      // The container around the connection is still known.
      const bool by_container = list.list == &Selectors::container_ids || list.list == &Selectors::pod_uids;
      CHECK(asked.gates() == (by_container ? kBoth : kNotAllowed));
      asked.policy.deny.*list.list = {"nothing"};
      CHECK(asked.gates() == kNotAllowed);
    }
  }
}

TEST_CASE("Deny wins over allow") {
  Asked asked = make_clear_case();
  asked.policy.allow.fstypes = {"*"};
  asked.policy.deny.fstypes = {"fuse.n?rive"};
  CHECK(asked.gates() == kDenied);
  asked.connection().fstype = "fuseblk";
  asked.policy = PolicySettings{};
  asked.policy.mode = Mode::enforce;
  CHECK(asked.gates() == kBoth);
}

TEST_CASE("The default lists") {
  const auto gates = [](const std::string& fstype) {
    Asked asked = make_clear_case();
    asked.connection().fstype = fstype;
    return asked.gates();
  };
  CHECK(gates("fuse") == kNone);
  CHECK(gates("fuse.s3fs") == kNone);
  CHECK(gates("fuse.lxcfs") == kDenied);
  CHECK(gates("fuse.sysboxfs") == kDenied);
  CHECK(gates("fuse.fuse-overlayfs") == kDenied);
  CHECK(gates("fuseblk") == kBoth);
  CHECK(gates("fusectl") == kNotAllowed);
}

TEST_CASE("Of several mount points one is enough to deny, and all are needed to allow") {
  Asked asked = make_clear_case();
  asked.connection().mount_points = {"/data", "/var/lib/docker/rootfs/data"};
  asked.policy.deny.mount_points = {"/var/*"};
  CHECK(asked.gates() == kDenied);
  asked.policy.deny.mount_points = {};
  asked.policy.allow.mount_points = {"/data"};
  CHECK(asked.gates() == kNotAllowed);
  asked.policy.allow.mount_points = {"/data", "/var/lib/docker/*"};
  CHECK(asked.gates() == kNone);
}

TEST_CASE("Where there may be more mount points than are told, it cannot be said that all match") {
  Asked asked = make_clear_case();
  asked.connection().mount_points.assign(kMaxMountPoints - 1, "/data");
  asked.policy.allow.mount_points = {"/data"};
  CHECK(asked.gates() == kNone);
  asked.connection().mount_points.emplace_back("/data");
  CHECK(asked.gates() == kNotAllowed);
  asked.policy.allow.mount_points = {};
  CHECK(asked.gates() == kNone);
  asked.policy.deny.mount_points = {"/other"};
  CHECK(asked.gates() == kNotAllowed);
}

TEST_CASE("A container that serves or sees the connection is denied as the one that waits is") {
  Asked asked = make_clear_case();
  asked.connection().containers = {make_container(), Container{"sidecar", "docker", "pod-of-sidecar"}};
  asked.policy.deny.container_ids = {"side*"};
  CHECK(asked.gates() == kDenied);
  asked.policy.deny.container_ids = {};
  asked.policy.deny.pod_uids = {"pod-of-*"};
  CHECK(asked.gates() == kDenied);
  SECTION("but allow asks for the one that waits") {
    asked.policy.deny.pod_uids = {};
    asked.policy.allow.container_ids = {kContainerId};
    CHECK(asked.gates() == kNone);
    asked.policy.allow.container_ids = {"sidecar"};
    CHECK(asked.gates() == kNotAllowed);
  }
  SECTION("one of which nothing is known may be the denied one") {
    asked.policy.deny.pod_uids = {};
    asked.connection().containers[1].id.clear();
    CHECK(asked.gates() == kNone);
    asked.policy.deny.container_ids = {"other"};
    CHECK(asked.gates() == kNotAllowed);
  }
  SECTION("and so may one that is not told any more") {
    asked.policy.deny.pod_uids = {};
    asked.policy.deny.container_ids = {"other"};
    asked.connection().containers.assign(kMaxShownContainers - 1, make_container());
    CHECK(asked.gates() == kNone);
    asked.connection().containers.push_back(make_container());
    CHECK(asked.gates() == kNotAllowed);
  }
}

TEST_CASE("A text that may have been cut is not known") {
  Asked asked = make_clear_case();
  asked.connection().source = kLongest;
  CHECK(asked.gates() == kNone);
  asked.policy.deny.sources = {"*/secret"};
  CHECK(asked.gates() == kNotAllowed);
  asked.policy.deny.sources = {"a*"};
  CHECK(asked.gates() == kBoth);
  asked.policy.deny.sources = {};
  asked.policy.allow.sources = {"a*"};
  CHECK(asked.gates() == kNotAllowed);
  asked.connection().source = std::string(252, 'a');
  CHECK(asked.gates() == kNone);
  SECTION("one mount point of several") {
    asked.connection().mount_points.push_back("/" + kLongest);
    asked.policy.deny.mount_points = {"/other"};
    CHECK(asked.gates() == kNotAllowed);
  }
  SECTION("more is kept of the path of a control group") {
    asked.finding().cgroup = "/" + kLongest;
    asked.policy.deny.cgroups = {"/other"};
    CHECK(asked.gates() == kNone);
    asked.finding().cgroup = std::string(4093, 'a');
    CHECK(asked.gates() == kNotAllowed);
  }
}

TEST_CASE("A control group seen from within another cgroup namespace is not known") {
  Asked asked = make_clear_case();
  asked.finding().cgroup = "/../../kubepods.slice/" + std::string(kContainerId);
  CHECK(asked.gates() == kNone);
  asked.policy.deny.cgroups = {"/kubepods.slice/*"};
  CHECK(asked.gates() == kNotAllowed);
  asked.policy.deny.cgroups = {};
  asked.policy.allow.cgroups = {"*"};
  CHECK(asked.gates() == kNotAllowed);
  asked.finding().cgroup = "/..";
  CHECK(asked.gates() == kNotAllowed);
  asked.finding().cgroup = "/..kubepods/" + std::string(kContainerId);
  CHECK(asked.gates() == kNone);
}

TEST_CASE("A namespace may be denied where its connection was not found or not singled out") {
  Asked asked = make_clear_case();
  asked.policy.deny.cgroups = {"/kubepods.slice/*"};
  SECTION("not found") {
    asked.findings.connections.clear();
    CHECK(asked.gates() == Gates{Gate::server_unknown, Gate::denied, Gate::not_allowed, Gate::gap});
  }
  SECTION("not singled out") {
    asked.finding().connections.clear();
    CHECK(asked.gates() == Gates{Gate::connection_ambiguous, Gate::denied});
  }
}

TEST_CASE("Lists of different kinds are all asked") {
  Asked asked = make_clear_case();
  asked.policy.allow = {{"fuse.*"}, {"ndrive:*"}, {"/data"}, {kContainerId}, {kPodUid}, {"/kubepods.slice/*"}};
  CHECK(asked.gates() == kNone);
  for (const List& list : lists()) {
    INFO(list.name);
    const Texts before = std::exchange(asked.policy.allow.*list.list, Texts{"nothing"});
    CHECK(asked.gates() == kNotAllowed);
    asked.policy.allow.*list.list = before;
  }
}

}  // namespace defused

// SPDX-License-Identifier: Apache-2.0
// What the daemon says at its start about a host that lacks something.
#include "daemon/start_checks.h"

#include <linux/capability.h>

#include <catch2/catch.hpp>

using namespace defused;

namespace {

using Sentences = std::vector<std::string>;

HostFacts good_host() {
  HostFacts facts;
  for (const CapabilityNeed& need : capability_needs()) facts.capabilities.insert(need.number);
  return facts;
}

Settings in_mode(Mode mode) {
  Settings settings;
  settings.policy.mode = mode;
  return settings;
}

StartFindings check(Mode mode, const HostFacts& facts) { return check_start(in_mode(mode), facts); }

}  // namespace

TEST_CASE("a host that has everything is not spoken of") {
  for (const Mode mode : {Mode::observe, Mode::dry_run, Mode::enforce}) {
    const StartFindings found = check(mode, good_host());
    CHECK(found.impossible.empty());
    CHECK(found.warnings.empty());
  }
}

TEST_CASE("a missing capability is a sentence that says what is lost, one for those that cost the same") {
  HostFacts facts = good_host();
  facts.capabilities.erase(CAP_SYS_PTRACE);
  CHECK(
      check(Mode::observe, facts).warnings ==
      Sentences{"CAP_SYS_PTRACE is missing: the descriptors, stacks and namespaces of most processes are unreadable"});
  facts = good_host();
  facts.capabilities.erase(CAP_BPF);
  facts.capabilities.erase(CAP_PERFMON);
  CHECK(check(Mode::enforce, facts).warnings ==
        Sentences{"CAP_BPF and CAP_PERFMON are missing: BPF programs cannot be loaded: /proc serves alone"});
}

TEST_CASE("every capability but those that only one setting needs has its sentence") {
  for (const CapabilityNeed& need : capability_needs()) {
    CAPTURE(need.name);
    HostFacts facts = good_host();
    facts.capabilities.erase(need.number);
    const StartFindings found = check(Mode::enforce, facts);
    const std::size_t said = found.impossible.size() + found.warnings.size();
    CHECK(said == (need.number == CAP_NET_BIND_SERVICE ? 0 : 1));
  }
}

TEST_CASE("without the right over abort files enforce is not possible, and observe does not ask") {
  HostFacts facts = good_host();
  facts.capabilities.erase(CAP_DAC_OVERRIDE);
  CHECK(check(Mode::enforce, facts).impossible ==
        Sentences{"CAP_DAC_OVERRIDE is missing: no connection of another user can be aborted"});
  CHECK(check(Mode::dry_run, facts).impossible.empty());
  CHECK(check(Mode::dry_run, facts).warnings.empty());
}

TEST_CASE("no mode is possible without the right to make a front") {
  HostFacts facts = good_host();
  facts.capabilities.erase(CAP_SETUID);
  facts.capabilities.erase(CAP_SETGID);
  CHECK(check(Mode::observe, facts).impossible ==
        Sentences{"CAP_SETUID and CAP_SETGID are missing: no front can be started"});
}

TEST_CASE("fusectl that nobody may write forbids enforce, one that is not there may still come") {
  HostFacts facts = good_host();
  facts.fusectl_read_only = true;
  CHECK(check(Mode::observe, facts).warnings.empty());
  CHECK(check(Mode::enforce, facts).impossible ==
        Sentences{"/sys/fs/fuse/connections is mounted read-only: nothing can be aborted"});
  facts.fusectl_trouble = "it is not there";
  CHECK(check(Mode::enforce, facts).impossible.empty());
  CHECK(check(Mode::enforce, facts).warnings ==
        Sentences{"connections can be neither seen nor aborted: it is not there"});
}

TEST_CASE("in a PID namespace of its own it may look, and not act") {
  HostFacts facts = good_host();
  facts.in_host_pid_namespace = false;
  CHECK(check(Mode::observe, facts).warnings.size() == 1);
  CHECK(check(Mode::enforce, facts).impossible.size() == 1);
  Settings settings;
  settings.policy.mode = Mode::enforce;
  settings.policy.require_host_pid_namespace = false;
  CHECK(check_start(settings, facts).impossible.empty());
  CHECK(check_start(settings, facts).warnings.size() == 1);
}

TEST_CASE("hidepid hides nothing from who may trace") {
  HostFacts facts = good_host();
  for (const char* options : {"rw,hidepid=invisible", "rw,relatime,rw,hidepid=2"}) {
    CAPTURE(options);
    facts.proc_options = options;
    facts.capabilities.insert(CAP_SYS_PTRACE);
    CHECK(check(Mode::observe, facts).warnings.empty());
    facts.capabilities.erase(CAP_SYS_PTRACE);
    CHECK(check(Mode::observe, facts).warnings.size() == 2);  // beside the capability itself
  }
  facts.proc_options = "rw,hidepid=off";
  CHECK(check(Mode::observe, facts).warnings.size() == 1);
  facts = good_host();
  facts.proc_options = "rw,subset=pid";
  CHECK(check(Mode::observe, facts).warnings ==
        Sentences{"/proc is mounted with subset=pid: the kernel's symbols and settings of FUSE are not seen"});
}

TEST_CASE("what no proof can come of is said, also what it holds") {
  HostFacts facts = good_host();
  facts.has_btf = false;
  CHECK(check(Mode::enforce, facts).warnings.empty());  // /proc proves it
  facts.fdinfo_names_connection = false;
  const std::string sentence =
      "who serves a connection cannot be proven: it takes Linux 6.16, or BPF, and this kernel has no BTF "
      "(/sys/kernel/btf/vmlinux)";
  CHECK(check(Mode::observe, facts).warnings == Sentences{sentence});
  CHECK(check(Mode::enforce, facts).warnings ==
        Sentences{sentence + "; with remedy.require_proven each abort is held by server_inferred"});
  Settings inferring = in_mode(Mode::enforce);
  inferring.policy.require_proven = false;
  CHECK(check_start(inferring, facts).warnings == Sentences{sentence});
}

TEST_CASE("records that cannot be written forbid enforce alone") {
  HostFacts facts = good_host();
  facts.state_trouble = "/var/lib/defused: Read-only file system (EROFS)";
  CHECK(check(Mode::observe, facts).warnings ==
        Sentences{"the state directory cannot be written: /var/lib/defused: Read-only file system (EROFS)"});
  CHECK(check(Mode::enforce, facts).impossible ==
        Sentences{"the state directory cannot be written: /var/lib/defused: Read-only file system (EROFS); without "
                  "records nothing is aborted"});
}

TEST_CASE("the options of /proc are those of the mount on top") {
  CHECK(find_proc_options("").empty());
  CHECK(find_proc_options("23 28 0:21 / /proc rw,nosuid shared:14 - proc proc rw,hidepid=invisible\n"
                          "24 28 0:22 / /sys rw - sysfs sysfs rw\n") == "rw,nosuid,rw,hidepid=invisible");
  CHECK(find_proc_options("23 28 0:21 / /proc rw - proc proc rw,hidepid=2\n"
                          "24 23 0:22 / /proc ro master:1 - proc proc rw\n") == "ro,rw");
}

// SPDX-License-Identifier: Apache-2.0
#include "daemon/start_checks.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>

#include "base/text.h"
#include "base/unique_fd.h"
#include "base/whole_io.h"
#include "daemon/describe.h"
#include "daemon/kernel_features.h"
#include "fusectl/fuse_root.h"
#include "procfs/proc_root.h"
#include "remedy/remedy.h"

namespace defused {

namespace {

CapabilitySet available() {
  CapabilitySet out;
  for (const CapabilityNeed& need : capability_needs()) {
    const bool part_of_admin = need.number == CAP_BPF || need.number == CAP_PERFMON;
    if (is_in_bounding_set(need.number) || (part_of_admin && is_in_bounding_set(CAP_SYS_ADMIN)))
      out.insert(need.number);
  }
  return out;
}

std::string read_mountinfo() {
  const UniqueFd file(open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC));
  constexpr std::size_t kMost = 32U << 20U;
  auto text = file ? read_up_to(file.get(), kMost) : Result<FileText>(fail(ErrorKind::gone, ""));
  return text ? std::move(text->text) : std::string();
}

bool has_option(std::string_view options, std::string_view name) {
  const auto all = split_fields(options, ',');
  return std::any_of(all.begin(), all.end(),
                     [&](std::string_view option) { return option.substr(0, name.size()) == name; });
}

// Without it nothing is done in this mode, or nobody serves.
bool is_indispensable(const CapabilityNeed& need, Mode mode) {
  if ((need.held_by & kHeldByProberEnforce) != 0) return mode == Mode::enforce;
  return need.number == CAP_SETUID || need.number == CAP_SETGID;
}

bool is_wanted(const CapabilityNeed& need, const Settings& settings) {
  if (need.without.empty()) return false;
  const bool only_enforce = need.held_by == kHeldByProberEnforce;
  return !only_enforce || settings.policy.mode == Mode::enforce;
}

void check_capabilities(const Settings& settings, const HostFacts& facts, StartFindings& out) {
  std::map<std::string_view, std::vector<std::string>> missing;  // by what is the case without them
  std::map<std::string_view, bool> indispensable;
  for (const CapabilityNeed& need : capability_needs()) {
    if (facts.capabilities.count(need.number) > 0 || !is_wanted(need, settings)) continue;
    missing[need.without].emplace_back(need.name);
    indispensable[need.without] |= is_indispensable(need, settings.policy.mode);
  }
  for (const auto& [without, names] : missing) {
    std::string sentence = join(names, " and ");
    sentence.append(names.size() == 1 ? " is missing: " : " are missing: ").append(without);
    (indispensable[without] ? out.impossible : out.warnings).push_back(std::move(sentence));
  }
}

void check_fusectl(const Settings& settings, const HostFacts& facts, StartFindings& out) {
  // It may be mounted, and FUSE loaded, at any time: each pass looks again.
  if (!facts.fusectl_trouble.empty()) {
    out.warnings.push_back("connections can be neither seen nor aborted: " + facts.fusectl_trouble);
  } else if (facts.fusectl_read_only && settings.policy.mode == Mode::enforce) {
    out.impossible.push_back(read_only_fusectl_sentence());
  }
}

void check_proc(const Settings& settings, const HostFacts& facts, StartFindings& out) {
  if (!facts.in_host_pid_namespace) {
    const bool acts = settings.policy.mode == Mode::enforce && settings.policy.require_host_pid_namespace;
    (acts ? out.impossible : out.warnings).push_back(own_pid_namespace_sentence());
  }
  // Who may trace others is hidden nothing.
  if (has_option(facts.proc_options, "hidepid=") && !has_option(facts.proc_options, "hidepid=off") &&
      !has_option(facts.proc_options, "hidepid=0") && facts.capabilities.count(CAP_SYS_PTRACE) == 0) {
    out.warnings.emplace_back("/proc is mounted with hidepid: without CAP_SYS_PTRACE other processes are not seen");
  }
  if (has_option(facts.proc_options, "subset=pid")) {
    out.warnings.emplace_back(
        "/proc is mounted with subset=pid: the kernel's symbols and settings of FUSE are not seen");
  }
}

void check_proof(const Settings& settings, const HostFacts& facts, StartFindings& out) {
  if (facts.fdinfo_names_connection || (facts.has_btf && facts.has_bpf_built_in)) return;
  std::string sentence = "who serves a connection cannot be proven: it takes Linux 6.16, or BPF, and ";
  sentence +=
      facts.has_bpf_built_in ? "this kernel has no BTF (/sys/kernel/btf/vmlinux)" : "this program was built without";
  if (settings.policy.require_proven && settings.policy.mode != Mode::observe) {
    sentence += "; with remedy.require_proven each abort is held by server_inferred";
  }
  out.warnings.push_back(std::move(sentence));
}

void check_state(const Settings& settings, const HostFacts& facts, StartFindings& out) {
  if (facts.state_trouble.empty()) return;
  const bool acts = settings.policy.mode == Mode::enforce;
  (acts ? out.impossible : out.warnings)
      .push_back("the state directory cannot be written: " + facts.state_trouble +
                 (acts ? "; without records nothing is aborted" : ""));
}

}  // namespace

bool is_in_host_pid_namespace() {
  constexpr ino_t kInitial = 0xEFFFFFFC;  // PROC_PID_INIT_INO, include/linux/proc_ns.h
  struct stat status {};
  if (stat("/proc/self/ns/pid", &status) < 0) return errno == ENOENT;  // a kernel without PID namespaces
  return status.st_ino == kInitial;
}

std::string own_pid_namespace_sentence() {
  return "this is not the PID namespace of the host: processes outside are not seen, also those that may answer (a "
         "container needs --pid=host; remedy.require_host_pid_namespace)";
}

bool is_fusectl_read_only() {
  const auto fusectl = FuseRoot::open();
  return fusectl && fusectl->is_read_only();
}

std::string read_only_fusectl_sentence() {
  return std::string(FuseRoot::kDefaultPath) + " is mounted read-only: nothing can be aborted";
}

std::string find_proc_options(std::string_view mountinfo) {
  std::string found;
  while (!mountinfo.empty()) {
    // 23 28 0:21 / /proc rw,nosuid shared:14 - proc proc rw,hidepid=invisible
    std::string_view line = take_field(mountinfo, '\n');
    for (int field = 0; field < 4; ++field) take_field(line, ' ');
    if (take_field(line, ' ') != "/proc") continue;
    const std::string_view mount_options = take_field(line, ' ');
    while (!line.empty() && take_field(line, ' ') != "-") continue;
    take_field(line, ' ');
    take_field(line, ' ');
    found = std::string(mount_options) + "," + std::string(line);  // the last one is on top
  }
  return found;
}

HostFacts read_host_facts(const Settings& settings) {
  HostFacts facts;
  facts.capabilities = available();
  if (const auto fusectl = FuseRoot::open()) {
    facts.fusectl_read_only = fusectl->is_read_only();
  } else {
    facts.fusectl_trouble = fusectl.error().message;
  }
  facts.in_host_pid_namespace = is_in_host_pid_namespace();
  facts.proc_options = find_proc_options(read_mountinfo());
  facts.has_btf = access("/sys/kernel/btf/vmlinux", F_OK) == 0;
  facts.has_bpf_built_in = has_bpf_built_in();
  if (!facts.has_btf || !facts.has_bpf_built_in) {
    const auto proc = ProcRoot::open();
    facts.fdinfo_names_connection = proc && read_kernel_facts(*proc).fdinfo_names_connection;
  }
  if (faccessat(AT_FDCWD, settings.state_directory.c_str(), W_OK | X_OK, AT_EACCESS) < 0)
    facts.state_trouble = settings.state_directory + ": " + describe_errno(errno);
  return facts;
}

StartFindings check_start(const Settings& settings, const HostFacts& facts) {
  StartFindings out;
  check_capabilities(settings, facts, out);
  check_fusectl(settings, facts, out);
  check_proc(settings, facts, out);
  check_proof(settings, facts, out);
  check_state(settings, facts, out);
  return out;
}

}  // namespace defused

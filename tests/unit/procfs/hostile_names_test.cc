// SPDX-License-Identifier: Apache-2.0
// Every string that a parser hands on is short, valid UTF-8 and without control characters, whatever a container calls
// itself, its files and its mounts.
#include <catch2/catch.hpp>
#include <functional>

#include "base/text.h"
#include "procfs/parse.h"
#include "procfs/proc_root.h"
#include "temporary_directory.h"

using namespace defused;
using namespace std::string_literals;

namespace {

using Texts = std::vector<std::string>;

// Bytes that no parser of its line takes for a separator: those are other tests.
const Texts kNames = {
    "\x1b[2J\x1b]0;title\x07",           // terminal sequences
    "\xff\xfe\x80",                      // no UTF-8 at all
    "\xc0\xaf\xe0\x80\x80\xed\xa0\x80",  // overlong forms and a surrogate
    "\xc2\x85\xc2\x9b"s,                 // C1 controls as UTF-8
    "a\0b"s,
    "txt.\xe2\x80\xaegnp\xe2\x80\x8b",  // U+202E, U+200B
    "<script>\"'\\&",
    std::string(100'000, 'A'),
    std::string(255, 'A') + "\xc3\xa4\xc3\xa4",  // the cut falls into a character
    std::string(5'000, '\x01'),
};

std::string octal(std::string_view name) {
  std::string out;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    out += '\\';
    for (const int shift : {6, 3, 0}) out += static_cast<char>('0' + ((byte >> shift) & 7));
  }
  return out;
}

Texts texts_of_status(const std::string& name) {
  const auto status = parse_status("Name:\t" + name +
                                   "\nState:\tS (sleeping)\nTgid:\t5\nPid:\t5\nPPid:\t1\nThreads:\t1\n"
                                   "voluntary_ctxt_switches:\t3\nnonvoluntary_ctxt_switches:\t4\n");
  return status ? Texts{status->name, make_brief(*status).name} : Texts{status.error().message};
}

Texts texts_of_stat(const std::string& name) {
  const auto stat = parse_stat("5 (" + name + ") S 1 5 5 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 0 0\n");
  return stat ? Texts{stat->comm} : Texts{stat.error().message};
}

Texts texts_of_mounts(const std::string& line) {
  const auto table = parse_mountinfo(line, 10);
  if (!table) return {table.error().message};
  Texts out = table->container_hints;
  for (const FuseMount& mount : table->fuse_mounts) {
    out.insert(out.end(), {mount.fstype, mount.source, mount.mount_point});
  }
  return out;
}

// A /proc that has one small file.
class OneFile {
 public:
  OneFile(const std::string& path, const std::string& text) { root_.write(path, text); }
  [[nodiscard]] KernelFacts facts() const {
    const auto proc = ProcRoot::open(root_.path());
    REQUIRE(proc);
    return read_kernel_facts(*proc);
  }

 private:
  TemporaryDirectory root_;
};

struct Parser {
  const char* name;
  std::function<Texts(const std::string& hostile)> texts;  ///< all that leaves it, errors included
  std::size_t longest = kMaxTextBytes;
};

template <typename Value>
Texts error_of(const Result<Value>& parsed) {
  return parsed ? Texts{} : Texts{parsed.error().message};
}

const std::vector<Parser>& parsers() {
  static const std::string kHex(64, 'a');
  static const std::vector<Parser> kParsers = {
      {"status: Name", texts_of_status},
      {"stat: comm", texts_of_stat},
      {"mountinfo: type", [](auto name) { return texts_of_mounts("66 43 0:40 / /m rw - fuse." + name + " s rw\n"); }},
      {"mountinfo: source", [](auto name) { return texts_of_mounts("66 43 0:40 / /m rw - fuse " + name + " rw\n"); }},
      {"mountinfo: mount point",
       [](auto name) { return texts_of_mounts("66 43 0:40 / /" + name + " rw - fuse s rw\n"); }},
      {"mountinfo: escapes",
       [](auto name) { return texts_of_mounts("66 43 0:40 / /" + octal(name) + " rw - fuse s rw\n"); }},
      {"mountinfo: container hint",
       [](auto name) { return texts_of_mounts("66 43 0:40 /docker/" + kHex + octal(name) + " /m rw - ext4 s rw\n"); }},
      {"mountinfo: a broken line", [](auto name) { return texts_of_mounts(name + " - \n"); }},
      {"cgroup: path", [](auto name) { return parse_cgroup("0::/docker/" + name + "\n5:cpu:/" + name + "\n"); }, 4096},
      {"stack: symbol", [](auto name) { return parse_stack("[<0>] " + name + "+0x1/0x2\n"); }},
      {"wchan", [](auto name) { return Texts{strip_symbol(name)}; }},
      {"fdinfo: lines of a driver",
       [](auto name) { return error_of(parse_fdinfo("pos:\t0\nflags:\t02\nmnt_id:\t" + name + "\n")); }},
      {"sched", [](auto name) { return error_of(parse_exec_start(name + "\nse.exec_start : " + name + "\n")); }},
      {"uptime", [](auto name) { return error_of(parse_uptime(name + " 1\n")); }},
      {"namespace link", [](auto name) { return error_of(parse_namespace_link("pid:[" + name + "]", "pid")); }},
      {"first mount", [](auto name) { return error_of(parse_first_mount(name + " 1 0:1 / / rw - x x rw\n")); }},
      {"version: release",
       [](auto name) { return Texts{OneFile("version", "Linux version " + name + " (x) #1\n").facts().release}; }},
      {"kallsyms", [](auto name) { return Texts{OneFile("kallsyms", "0 t fuse_" + name + "\n").facts().release}; }},
  };
  return kParsers;
}

}  // namespace

TEST_CASE("no parser hands on a hostile name as it is") {
  for (const Parser& parser : parsers()) {
    for (const std::string& name : kNames) {
      for (const std::string& text : parser.texts(name)) {
        INFO(parser.name << " of " << sanitize(name, 40));
        constexpr std::size_t kSentence = 128;  // around a name in an error
        CHECK(text.size() <= parser.longest + kSentence);
        CHECK(sanitize(text, text.size()) == text);  // only what is fit stays as it is
      }
    }
  }
}

TEST_CASE("what is not a hostile name comes through") {
  CHECK(texts_of_status("M\xc3\xbcller") == Texts{"M\xc3\xbcller", "M\xc3\xbcller"});
  CHECK(texts_of_mounts("66 43 0:40 / /a\\040b rw - fuse.s3 x rw\n") == Texts{"fuse.s3", "x", "/a b"});
}

TEST_CASE("a name of a knob that is no number is no value") {
  for (const std::string& name : kNames) {
    const OneFile proc("sys/fs/fuse/max_request_timeout", name + "\n");
    CHECK_FALSE(proc.facts().max_request_timeout_seconds);
  }
}

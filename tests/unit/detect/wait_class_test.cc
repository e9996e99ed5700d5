// SPDX-License-Identifier: Apache-2.0
#include "detect/wait_class.h"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>

#include "base/text.h"
#include "procfs/parse.h"

using namespace defused;

namespace {

struct Sample {
  std::string wait_class;
  std::string what;  // kernel and circumstances
  std::vector<std::string> stack;
};

std::string read_whole(const std::string& path) {
  std::ifstream file(path);
  INFO(path);
  REQUIRE(file.good());
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// stacks.txt says what its form is.
std::vector<Sample> read_samples() {
  std::vector<Sample> samples;
  std::string frames;
  const auto finish = [&] {
    if (!samples.empty()) samples.back().stack = parse_stack(frames);
    frames.clear();
  };
  const std::string text = read_whole("tests/unit/detect/stacks.txt");
  std::string_view rest = text;
  while (!rest.empty()) {
    std::string_view line = take_field(rest, '\n');
    if (line.substr(0, 2) == "= ") {
      finish();
      line.remove_prefix(2);
      const std::string wait_class(trim(take_field(line, '|')));
      samples.push_back({wait_class, std::string(trim(line)), {}});
    } else if (line.substr(0, 2) == "[<") {
      frames += std::string(line) + "\n";
    }
  }
  finish();
  return samples;
}

std::string say(const WaitRule* rule) {
  if (rule == nullptr) return "no rule";
  std::string text(to_string(rule->wait_class));
  return text + ": " + std::string(rule->symbol) + ", " + std::string(to_string(rule->place));
}

std::string quote_symbol(const WaitRule& rule) {
  if (rule.symbol == "*") return "any other";
  std::string text = "`" + std::string(rule.symbol) + "`";
  if (!rule.kernels.empty()) text += " (" + std::string(rule.kernels) + ")";
  return text;
}

// One row for each run of rules of the same class and place: the order is part of what the table says.
std::string render_wait_classes() {
  std::string text = "| class | telling frames | where in the stack |\n|---|---|---|\n";
  const auto rules = describe_wait_classes();
  for (std::size_t begin = 0; begin < rules.size();) {
    const WaitRule& first = rules[begin];
    text += "| `" + std::string(to_string(first.wait_class)) + "` | ";
    std::size_t end = begin;
    for (; end < rules.size() && rules[end].wait_class == first.wait_class &&
           to_string(rules[end].place) == to_string(first.place);
         ++end) {
      if (end > begin) text += ", ";
      text += quote_symbol(rules[end]);
    }
    text += " | " + std::string(to_string(first.place)) + " |\n";
    begin = end;
  }
  return text;
}

}  // namespace

TEST_CASE("wait classes of real stacks") {
  const auto samples = read_samples();
  CHECK(samples.size() > 200);
  for (const Sample& sample : samples) {
    CAPTURE(sample.what, sample.stack, say(deciding_rule(sample.stack)));
    CHECK_FALSE(sample.stack.empty());
    REQUIRE(parse_word<WaitClass>(sample.wait_class));
    CHECK(to_string(classify_wait(sample.stack)) == sample.wait_class);
  }
}

TEST_CASE("every rule of the table decides about one of them") {
  std::set<const WaitRule*> deciding;
  for (const Sample& sample : read_samples()) deciding.insert(deciding_rule(sample.stack));
  for (const WaitRule& rule : describe_wait_classes()) {
    INFO(say(&rule));
    CHECK(deciding.count(&rule) == 1);
  }
  CHECK(deciding.count(nullptr) == 1);  // `other`
}

TEST_CASE("every wait class is told by some stack") {
  std::set<std::string> seen;
  for (const Sample& sample : read_samples()) seen.insert(sample.wait_class);
  for (const WaitClass word : AllWords<WaitClass>::values) CHECK(seen.count(std::string(to_string(word))) == 1);
}

TEST_CASE("a stack that lost its outer frames is of no other class of FUSE than the whole, or unknown") {
  for (const Sample& sample : read_samples()) {
    CAPTURE(sample.what, sample.stack);
    if (sample.wait_class != "other" && sample.wait_class != "block_io" && sample.wait_class != "nfs") continue;
    for (std::size_t size = 1; size < sample.stack.size(); ++size) {
      CAPTURE(size);
      const std::vector<std::string> inner(sample.stack.begin(), sample.stack.begin() + static_cast<long>(size));
      CHECK_FALSE(is_fuse(classify_wait(inner)));
    }
  }
}

TEST_CASE("an empty stack says nothing") {
  CHECK(classify_wait({}) == WaitClass::unknown);
  CHECK(deciding_rule({}) == nullptr);
  CHECK_FALSE(is_in_lock({}));
  CHECK_FALSE(has_fuse_frame({}));
}

TEST_CASE("wchan: the innermost function alone") {
  struct Row {
    const char* wchan;
    const char* wait_class;
  };
  for (const Row& row : std::vector<Row>{
           // KERNEL.md 4: what a cheap first pass looks for
           {"request_wait_answer", "fuse_request"},
           {"folio_wait_bit", "unknown"},
           {"do_wait", "unknown"},
           {"zap_pid_ns_processes", "unreaped_child"},
           {"exit_aio", "aio"},
           {"io_wq_put_and_exit", "io_uring"},
           {"fuse_get_req", "fuse_request"},
           // of captures and of other causes
           {"fuse_set_nowrite", "fuse_writeback"},
           {"fuse_flush", "fuse_flush"},
           {"fuse_file_write_iter", "fuse_lock"},
           {"folio_wait_bit_common", "unknown"},
           {"filename_create", "unknown"},
           {"do_exit", "unknown"},
           {"rpc_wait_bit_killable", "nfs"},
           {"p9_client_rpc", "9p"},
           {"ptrace_stop", "ptrace"},
           {"__refrigerator", "freezer"},
           {"coredump_task_exit", "coredump"},
           // `other` and `block_io` need the frames below
           {"fuse_dev_do_read", "unknown"},
           {"fuse_uring_wait_stopped_queues", "unknown"},
           {"futex_do_wait", "unknown"},
           {"blk_mq_get_tag", "unknown"},
           {"afs_wait_for_operation", "unknown"},
           {"", "unknown"},
           {"0", "unknown"},
       }) {
    CAPTURE(row.wchan);
    CHECK(to_string(classify_wchan(row.wchan)) == row.wait_class);
  }
}

TEST_CASE("who is behind a lock") {
  CHECK(is_in_lock({"fuse_file_write_iter", "vfs_write"}));
  CHECK(is_in_lock({"fuse_flush", "filp_close"}));
  CHECK(is_in_lock({"rwsem_down_write_slowpath", "down_write", "fuse_flush", "filp_close"}));
  CHECK(is_in_lock({"schedule", "__mutex_lock", "fuse_lock_inode", "fuse_lookup"}));
  CHECK(is_in_lock({"filename_create", "do_mkdirat"}));
  CHECK(is_in_lock({"do_exit", "do_group_exit"}));
  CHECK_FALSE(is_in_lock({"request_wait_answer", "fuse_flush"}));
  CHECK_FALSE(is_in_lock({"fuse_set_nowrite", "fuse_flush"}));
  CHECK_FALSE(is_in_lock({"fuse_get_req", "__fuse_simple_request"}));
  CHECK_FALSE(is_in_lock({"__fuse_simple_request", "fuse_do_getattr"}));
  CHECK_FALSE(is_in_lock({"fuse_wait_aborted", "fuse_conn_destroy"}));
  CHECK_FALSE(is_in_lock({"fuse_direct_IO", "generic_file_read_iter"}));
  CHECK_FALSE(is_in_lock({"fuse_dev_do_read", "fuse_dev_read"}));
  CHECK_FALSE(is_in_lock({"do_wait", "kernel_wait4", "do_exit"}));
}

TEST_CASE("who has a frame of FUSE's client side in what it does now") {
  CHECK(has_fuse_frame({"folio_wait_bit", "fuse_vma_close", "do_exit"}));
  CHECK(has_fuse_frame({"request_wait_answer"}));
  CHECK(has_fuse_frame({"fuse_reverse_inval_entry", "fuse_notify", "fuse_dev_do_write"}));
  CHECK_FALSE(has_fuse_frame({"fuse_dev_do_read", "fuse_dev_read"}));
  CHECK_FALSE(has_fuse_frame({"fuse_copy_fill", "fuse_dev_do_read"}));
  CHECK_FALSE(has_fuse_frame({"folio_wait_bit", "handle_mm_fault", "fuse_perform_write"}));
  CHECK_FALSE(has_fuse_frame({"nfs_file_write", "fuse_passthrough_write_iter", "fuse_file_write_iter"}));
}

TEST_CASE("overlay frames and workers of io_uring") {
  CHECK(has_overlay_frame({"fuse_flush", "ovl_flush", "filp_flush"}));
  CHECK_FALSE(has_overlay_frame({"fuse_flush", "filp_flush"}));
  CHECK(is_io_worker({"request_wait_answer", "io_wq_worker", "ret_from_fork"}));
  CHECK(is_io_worker({"request_wait_answer", "io_wqe_worker", "ret_from_fork"}));
  CHECK_FALSE(is_io_worker({"io_wq_put_and_exit", "do_exit"}));
}

TEST_CASE("docs/DETECTION.md has the table of wait classes") {
  const std::string begin = "<!-- wait classes: written by unit-detect -->\n";
  const std::string end = "<!-- end of wait classes -->";
  std::string doc = read_whole("docs/DETECTION.md");
  const std::size_t first = doc.find(begin);
  const std::size_t last = doc.find(end);
  REQUIRE(first != std::string::npos);
  REQUIRE(last != std::string::npos);
  const std::string table = render_wait_classes();
  const std::size_t from = first + begin.size();
  if (std::getenv("DEFUSED_WRITE_DOCS") != nullptr) {
    doc.replace(from, last - from, table);
    std::ofstream("docs/DETECTION.md") << doc;
  } else {
    INFO("write it with DEFUSED_WRITE_DOCS=1 ./build/unit-detect");
    CHECK(doc.substr(from, last - from) == table);
  }
}

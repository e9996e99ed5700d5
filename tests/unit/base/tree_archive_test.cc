// SPDX-License-Identifier: Apache-2.0
// Archives and directories as trees: those of tests/captures, our own, and what a hostile one may hold.
#include "base/tree_archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "temporary_directory.h"

namespace defused {

namespace {

namespace fs = std::filesystem;  // for directories of our own only
using namespace std::chrono_literals;

constexpr std::uint64_t kMuch = 1U << 30U;

FileTree archive_sample() {
  FileTree tree;
  tree.add_file("about.json", "{}\n");
  tree.add_file("proc/17/status", "Name:\tcat\n");
  tree.add_file("proc/17/" + std::string(200, 'x'), std::string(100'000, 'y'));
  tree.add_link("proc/17/fd/3", "/memfd:\xff (deleted)");
  tree.add_link("proc/17/fd/4", "/" + std::string(1000, 'z'));
  tree.add_directory("proc/18");
  tree.add_file("proc/\xc3\xa4", "");
  return tree;
}

Result<void> write_to(const std::string& path, const FileTree& tree, bool gzip, std::uint64_t room = kMuch) {
  const UniqueFd file(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  REQUIRE(file);
  return write_tree_archive(tree, 1'795'522'500s, gzip, file.get(), room);
}

// One sentence with the path of the archive first.
std::string complaint(const std::string& path, ErrorKind kind, const TreeLimits& limits = {}) {
  const Stopwatch watch;
  const auto loaded = read_tree_archive(path, limits);
  CHECK(watch.elapsed() < 2min);  // as for `defused replay`
  REQUIRE_FALSE(loaded);
  CHECK(to_string(loaded.error().kind) == to_string(kind));
  const std::string& message = loaded.error().message;
  CHECK(message.find_first_of("\n\x1b") == std::string::npos);
  REQUIRE(message.rfind(path + ": ", 0) == 0);
  return message.substr(path.size() + 2);
}

using Fill = std::function<void(archive*, archive_entry*)>;

// An archive as nobody should make it.
void write_strange(const std::string& path, const Fill& fill, bool pax = false) {
  archive* writer = archive_write_new();
  pax ? archive_write_set_format_pax(writer) : archive_write_set_format_gnutar(writer);
  REQUIRE(archive_write_open_filename(writer, path.c_str()) == ARCHIVE_OK);
  archive_entry* entry = archive_entry_new();
  fill(writer, entry);
  archive_entry_free(entry);
  archive_write_close(writer);
  archive_write_free(writer);
}

void put(archive* writer, archive_entry* entry, const std::string& name, unsigned type = AE_IFREG,
         const std::string& text = {}) {
  archive_entry_set_pathname(entry, name.c_str());
  archive_entry_set_filetype(entry, type);
  archive_entry_set_perm(entry, 0600);
  archive_entry_set_size(entry, static_cast<la_int64_t>(text.size()));
  REQUIRE(archive_write_header(writer, entry) >= ARCHIVE_WARN);
  if (!text.empty()) archive_write_data(writer, text.data(), text.size());
}

void run(const std::string& command) { REQUIRE(std::system(command.c_str()) == 0); }

std::uint64_t peak_bytes() {
  struct rusage usage {};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_maxrss) << 10U;
}

}  // namespace

TEST_CASE("what was written is read again, plain and through gzip, and the same tree gives the same bytes") {
  const TemporaryDirectory place;
  for (const bool gzip : {false, true}) {
    const std::string path = place.file(gzip ? "a.tar.gz" : "a.tar");
    REQUIRE(write_to(path, archive_sample(), gzip));
    const auto loaded = read_tree_archive(path);
    REQUIRE(loaded);
    CHECK(loaded->tree == archive_sample());
    CHECK(loaded->modified.at("proc/17/status") == 1'795'522'500s);
    REQUIRE(write_to(place.file("again"), archive_sample(), gzip));
    CHECK(read_whole(path) == read_whole(place.file("again")));
  }
  run("tar tf " + place.file("a.tar") + " > /dev/null && tar tzf " + place.file("a.tar.gz") + " > /dev/null");
}

TEST_CASE("other tools and filters made it, with ./ before it or in a directory of its own") {
  const TemporaryDirectory place;
  REQUIRE(write_to(place.file("a.tar"), archive_sample(), false));
  fs::create_directories(place.path() / "x/host-1");
  run("tar xf " + place.file("a.tar") + " -C " + place.file("x/host-1"));
  for (const char* how : {"cf %/b.tar -C %/x/host-1 .", "cf %/b.tar -C %/x host-1", "cJf %/b.tar -C %/x ./host-1",
                          "--zstd -cf %/b.tar -C %/x host-1", "--format=pax -cf %/b.tar -C %/x host-1"}) {
    CAPTURE(how);
    std::string command = std::string("tar ") + how;
    for (auto at = command.find('%'); at != std::string::npos; at = command.find('%')) {
      command.replace(at, 1, place.path().string());
    }
    if (std::system((command + " 2> /dev/null").c_str()) != 0) continue;  // no such filter in this place
    const auto loaded = read_tree_archive(place.file("b.tar"));
    REQUIRE(loaded);
    CHECK(loaded->tree == archive_sample());
    CHECK(loaded->modified.count("proc/17/status") == 1);
  }
  const auto directory = read_tree_directory(place.file("x"));
  REQUIRE(directory);
  CHECK(directory->tree == archive_sample());
}

TEST_CASE("each archive of tests/captures is the directory that was unpacked of it") {
  for (const char* name : {"linux-6.1.192-flush", "linux-6.12.107-mmap", "linux-6.18.44-docker"}) {
    CAPTURE(name);
    const auto packed = read_tree_archive("tests/captures/" + std::string(name) + ".tar.gz");
    const auto unpacked = read_tree_directory(std::string(DEFUSED_CAPTURES) + "/" + name);
    REQUIRE(packed);
    REQUIRE(unpacked);
    CHECK(packed->tree.find("proc/uptime") != nullptr);
    CHECK(packed->tree == unpacked->tree);
  }
}

TEST_CASE("no more is written than there may be, and a full disk is told") {
  const TemporaryDirectory place;
  const auto cut = write_to(place.file("a.tar"), archive_sample(), false, 50'000);
  REQUIRE_FALSE(cut);
  CHECK(cut.error().kind == ErrorKind::unsupported);
  CHECK(fs::file_size(place.file("a.tar")) <= 50'000);
  const auto full = write_to("/dev/full", archive_sample(), false);
  REQUIRE_FALSE(full);
  CHECK(full.error().kind == ErrorKind::io);
  CHECK(full.error().message == "write: No space left on device");
}

TEST_CASE("what is no archive is told in one sentence") {
  const TemporaryDirectory place;
  const std::string path = place.file("x");
  CHECK(complaint(place.file("absent"), ErrorKind::gone) == "No such file or directory");
  for (const std::string& text :
       {std::string(), std::string("hello\n"), std::string(5000, 'x'), std::string("\x1f\x8b")}) {
    place.write("x", text);
    CHECK_THAT(complaint(path, ErrorKind::malformed), Catch::StartsWith("no tar archive, plain or through gzip"));
  }
  CHECK(complaint("/dev/null", ErrorKind::malformed) == "expected an archive, a regular file");
  REQUIRE(mkfifo(place.file("fifo").c_str(), 0600) == 0);
  CHECK(complaint(place.file("fifo"), ErrorKind::malformed) == "expected an archive, a regular file");
}

TEST_CASE("an archive that is cut off anywhere is not taken for whole") {
  const TemporaryDirectory place;
  for (const bool gzip : {false, true}) {
    REQUIRE(write_to(place.file("whole"), archive_sample(), gzip));
    const std::string bytes = read_whole(place.file("whole"));
    const std::size_t end = gzip ? bytes.size() : bytes.find_last_not_of('\0') + 512;
    for (std::size_t size = 0; size < end; size += gzip ? 7 : 256) {
      place.write("cut", bytes.substr(0, size));
      CAPTURE(gzip, size);
      const auto loaded = read_tree_archive(place.file("cut"));
      // What is behind the end of the archive within may be missing: nothing of it is.
      if (loaded && gzip) {
        CHECK(loaded->tree == archive_sample());
      } else {
        complaint(place.file("cut"), ErrorKind::malformed);
      }
    }
  }
}

TEST_CASE("members that lead away, or are neither file, directory nor link, are refused by name") {
  const TemporaryDirectory place;
  const std::string path = place.file("x.tar");
  const std::string plain = "expected a relative path of printable UTF-8 without empty, '.' and '..' components";
  // The name and how it is shown.
  const std::vector<std::pair<std::string, std::string>> names = {
      {"../up", "../up"}, {"/absolute", "/absolute"}, {"a/../b", "a/../b"},
      {"a//b", "a//b"},   {"a/./b", "a/./b"},         {"..", ".."},
      {"/", "/"},         {"a\nb", "a\\x0ab"},        {"a\x1b[2J", "a\\x1b[2J"},
      {"a\xff", "a\\xff"}};
  for (const auto& bad : names) {
    CAPTURE(bad.second);
    write_strange(path, [&](archive* writer, archive_entry* entry) { put(writer, entry, bad.first); });
    CHECK(complaint(path, ErrorKind::malformed) == "member '" + bad.second + "': " + plain);
  }
  for (const unsigned type : {AE_IFIFO, AE_IFCHR, AE_IFBLK}) {
    write_strange(path, [&](archive* writer, archive_entry* entry) { put(writer, entry, "proc/x", type); });
    CHECK(complaint(path, ErrorKind::malformed) ==
          "member 'proc/x': neither file, directory nor link; expected files, directories and symbolic links only");
  }
  write_strange(path, [&](archive* writer, archive_entry* entry) {
    archive_entry_set_hardlink(entry, "/etc/shadow");
    put(writer, entry, "proc/x");
  });
  CHECK_THAT(complaint(path, ErrorKind::malformed), Catch::StartsWith("member 'proc/x': a hard link"));
  write_strange(path, [&](archive* writer, archive_entry* entry) { put(writer, entry, std::string(300, 'n')); });
  CHECK_THAT(complaint(path, ErrorKind::malformed), Catch::EndsWith("a name longer than 255 bytes"));
  std::string deep = "a";
  for (int i = 0; i < 40; ++i) deep += "/a";
  write_strange(path, [&](archive* writer, archive_entry* entry) { put(writer, entry, deep); });
  CHECK_THAT(complaint(path, ErrorKind::malformed), Catch::EndsWith("deeper than 32 directories"));
}

TEST_CASE("more files or bytes than there may be are refused before they are read") {
  const TemporaryDirectory place;
  const std::string path = place.file("x.tar");
  REQUIRE(write_to(path, archive_sample(), true));
  CHECK_THAT(complaint(path, ErrorKind::unsupported, {.max_bytes = 50'000}),
             Catch::EndsWith("more than the 50000 bytes that are read"));
  CHECK(complaint(path, ErrorKind::unsupported, {.max_nodes = 3}) == "more than the 3 files that are read");
  CHECK(complaint(path, ErrorKind::unsupported, {.max_bytes = 10}) == "more than the 10 bytes that are read");
  // The same one again and again.
  write_strange(path, [&](archive* writer, archive_entry* entry) {
    for (int i = 0; i < 20; ++i) put(writer, entry, "a", AE_IFREG, "x");
  });
  CHECK(complaint(path, ErrorKind::unsupported, {.max_nodes = 10}) == "more than the 10 files that are read");
  // A size that is declared and never comes.
  write_strange(path, [&](archive* writer, archive_entry* entry) { put(writer, entry, "a", AE_IFREG, "x"); });
  std::string bytes = read_whole(path);
  bytes.replace(124, 12, "07777777777 ");  // 1 GiB - 1
  unsigned sum = 8U * 32U;
  for (std::size_t i = 0; i < 512; ++i) sum += i < 148 || i >= 156 ? static_cast<unsigned char>(bytes[i]) : 0U;
  std::array<char, 8> text{};
  std::snprintf(text.data(), text.size(), "%06o", sum);
  bytes.replace(148, 8, std::string(text.data(), 7) + " ");
  place.write("x.tar", bytes);
  const std::uint64_t before = peak_bytes();
  CHECK_THAT(complaint(path, ErrorKind::malformed), Catch::StartsWith("member 'a': "));
  CHECK(peak_bytes() - before < (64U << 20U));
}

TEST_CASE("directories that paths only imply are counted") {
  const TemporaryDirectory place;
  const std::string path = place.file("a.tar");
  const auto fill = [](int members) {
    return [members](archive* writer, archive_entry* entry) {
      for (int i = 0; i < members; ++i) {
        std::string name = "proc/" + std::to_string(i);
        for (int depth = 0; depth < 28; ++depth) name += "/a";
        put(writer, entry, name + "/b");
      }
    };
  };
  TreeLimits limits;
#ifdef DEFUSED_SANITIZED
  limits.max_nodes /= 10;  // all of them take minutes there
#endif
  write_strange(path, fill(static_cast<int>(limits.max_nodes / 8)));
  const std::uint64_t before = peak_bytes();
  CHECK(complaint(path, ErrorKind::unsupported, limits) ==
        "more than the " + std::to_string(limits.max_nodes) + " files that are read");
  CHECK(peak_bytes() - before < (256U << 20U));

  write_strange(path, fill(2));  // proc, and of each: its directory, 28 in it, the file
  limits.max_nodes = 61;
  const auto loaded = read_tree_archive(path, limits);
  REQUIRE(loaded);
  CHECK(loaded->tree.nodes().size() == 61);
  limits.max_nodes = 60;
  CHECK(complaint(path, ErrorKind::unsupported, limits) == "more than the 60 files that are read");
}

TEST_CASE("bombs: gzip of zeros, gzip of gzip, and holes") {
  const TemporaryDirectory place;
  const std::string path = place.file("x");
  const std::uint64_t before = peak_bytes();
  run("mkdir " + place.file("d") + " && truncate -s 1100M " + place.file("d/zeros"));
  run("tar cf - -C " + place.path().string() + " d | gzip -1 > " + path);
  CHECK(complaint(path, ErrorKind::unsupported) == "member 'd/zeros': more than the 1073741824 bytes that are read");
  run("gzip -1 < " + path + " > " + place.file("y"));
  CHECK(complaint(place.file("y"), ErrorKind::malformed) == "compressed more than once");
  run("tar cSf " + path + " -C " + place.path().string() + " d");
  CHECK_THAT(complaint(path, ErrorKind::malformed), Catch::Contains("a sparse file"));
  run("head -c 200M /dev/zero | gzip -1 > " + path);
  const auto zeros = read_tree_archive(path);  // an archive with nothing in it, to tar
  REQUIRE(zeros);
  CHECK(zeros->tree.nodes().empty());
  CHECK(peak_bytes() - before < (64U << 20U));
}

TEST_CASE("a directory with something else in it is refused by name, and nothing in it is followed or waited for") {
  const TemporaryDirectory place;
  place.write("proc/1/status", "x");
  REQUIRE(mkfifo(place.file("proc/1/stack").c_str(), 0600) == 0);
  const auto with_fifo = read_tree_directory(place.path());
  REQUIRE_FALSE(with_fifo);
  CHECK(with_fifo.error().message == place.path().string() + ": 'proc/1/stack': neither file, directory nor link; " +
                                         "expected files, directories and symbolic links only");
  fs::remove(place.file("proc/1/stack"));
  fs::create_directory_symlink("/", place.file("proc/1/root"));
  const auto with_link = read_tree_directory(place.path());
  REQUIRE(with_link);
  CHECK(with_link->tree.find("proc/1/root")->kind == FileTree::Kind::link);
  CHECK(with_link->tree.nodes().size() == 4);
  CHECK_FALSE(read_tree_directory(place.path(), {.max_nodes = 3}));
  CHECK_FALSE(read_tree_directory(place.path(), {.max_bytes = 20}));
  place.write("bad\nname", "");
  CHECK_THAT(read_tree_directory(place.path()).error().message, Catch::Contains("'bad\\x0aname': expected a relative"));
  CHECK(read_tree_directory(place.file("absent")).error().kind == ErrorKind::gone);
}

TEST_CASE("a directory does not lead into another file system") {
  const auto loaded = read_tree_directory("/proc/self/task/..", {.max_nodes = 100});
  CHECK_FALSE(loaded);
  if (access("/dev/shm", X_OK) != 0) return;
  const auto dev = read_tree_directory("/dev", {.max_nodes = 100'000});
  CHECK_FALSE(dev);
}

}  // namespace defused

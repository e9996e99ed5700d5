// SPDX-License-Identifier: Apache-2.0
#include "exporters/textfile/textfile.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <condition_variable>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <vector>

#include "base/unique_fd.h"
#include "temporary_directory.h"

using namespace defused;
using namespace std::chrono_literals;

namespace {

// A directory and a descriptor of it, as a writer gets it.
class Scratch {
 public:
  Scratch() : directory_(open(files_.path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)) { REQUIRE(directory_); }
  ~Scratch() { chmod(files_.path().c_str(), 0700); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  [[nodiscard]] int directory() const { return directory_.get(); }
  [[nodiscard]] std::string path() const { return files_.path().string(); }
  [[nodiscard]] std::string file(const std::string& name) const { return files_.file(name); }
  [[nodiscard]] std::string content(const std::string& name = TextfileWriter::kName) const { return files_.text(name); }
  [[nodiscard]] std::set<std::string> names() const {
    std::set<std::string> found;
    DIR* listing = opendir(path().c_str());
    if (listing == nullptr) return found;
    while (const dirent* entry = readdir(listing)) {
      const std::string name = entry->d_name;
      if (name != "." && name != "..") found.insert(name);
    }
    closedir(listing);
    return found;
  }

 private:
  TemporaryDirectory files_;
  UniqueFd directory_;
};

// What the writer said, waited for with a deadline.
class Said {
 public:
  void operator()(const Result<void>& result) {
    const std::lock_guard lock(mutex_);
    ++count_;
    last_ = result ? "" : result.error().message;
    changed_.notify_all();
  }
  bool wait_for(int count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, 20s, [&] { return count_ >= count; });
  }
  std::string last() {
    const std::lock_guard lock(mutex_);
    return last_.value_or("nothing was said");
  }
  int count() {
    const std::lock_guard lock(mutex_);
    return count_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int count_ = 0;
  std::optional<std::string> last_;
};

// A file system that hangs until it is told to go on.
class Hanging {
 public:
  Result<void> write(const std::string& text) {
    std::unique_lock lock(mutex_);
    texts_.push_back(text);
    changed_.notify_all();
    changed_.wait(lock, [this] { return go_on_; });
    return {};
  }
  void go_on() {
    const std::lock_guard lock(mutex_);
    go_on_ = true;
    changed_.notify_all();
  }
  bool wait_until_it_hangs() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, 20s, [this] { return !texts_.empty(); });
  }
  std::vector<std::string> texts() {
    const std::lock_guard lock(mutex_);
    return texts_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> texts_;
  bool go_on_ = false;
};

std::chrono::steady_clock::duration time_of(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::steady_clock::now() - begin;
}

}  // namespace

TEST_CASE("a file is written whole, for everybody to read, and nothing is left beside it") {
  Scratch scratch;
  const mode_t before = umask(0077);
  REQUIRE(write_textfile(scratch.directory(), "a 1\n"));
  umask(before);
  CHECK(scratch.content() == "a 1\n");
  struct stat status {};
  REQUIRE(stat(scratch.file(TextfileWriter::kName).c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0644);
  REQUIRE(write_textfile(scratch.directory(), ""));
  CHECK(scratch.content().empty());
  CHECK(scratch.names() == std::set<std::string>{TextfileWriter::kName});
  remove_textfile(scratch.directory());
  CHECK(scratch.names().empty());
  remove_textfile(scratch.directory());  // nothing there: nothing to say
}

TEST_CASE("what lies in the place of the temporary file is replaced, and a link is not followed") {
  Scratch scratch;
  const std::string temporary = scratch.file(TextfileWriter::kTemporaryName);
  std::ofstream(temporary) << "half of an old";
  REQUIRE(write_textfile(scratch.directory(), "a 1\n"));
  CHECK(scratch.content() == "a 1\n");

  const std::string victim = scratch.file("victim");
  std::ofstream(victim) << "precious";
  REQUIRE(symlink(victim.c_str(), temporary.c_str()) == 0);
  REQUIRE(write_textfile(scratch.directory(), "a 2\n"));
  CHECK(scratch.content("victim") == "precious");
  CHECK(scratch.content() == "a 2\n");

  REQUIRE(mkfifo(temporary.c_str(), 0600) == 0);  // opened for writing it would hang
  REQUIRE(write_textfile(scratch.directory(), "a 3\n"));
  CHECK(scratch.content() == "a 3\n");

  REQUIRE(mkdir(temporary.c_str(), 0700) == 0);
  const auto blocked = write_textfile(scratch.directory(), "a 4\n");
  REQUIRE_FALSE(blocked);
  CHECK(blocked.error().message == "removing an old .defused.prom.new: Is a directory");
  CHECK(scratch.content() == "a 3\n");
}

TEST_CASE("a name that is a directory, or a directory that is gone, is one sentence") {
  Scratch scratch;
  REQUIRE(mkdir(scratch.file(TextfileWriter::kName).c_str(), 0700) == 0);
  const auto blocked = write_textfile(scratch.directory(), "a 1\n");
  REQUIRE_FALSE(blocked);
  CHECK(blocked.error().message == "renaming to defused.prom: Is a directory");
  CHECK(scratch.names() == std::set<std::string>{TextfileWriter::kName});  // the temporary file is taken away
  rmdir(scratch.file(TextfileWriter::kName).c_str());
  REQUIRE(rmdir(scratch.path().c_str()) == 0);
  const auto gone = write_textfile(scratch.directory(), "a 1\n");
  REQUIRE_FALSE(gone);
  CHECK(gone.error().kind == ErrorKind::gone);
  CHECK(gone.error().message == "making .defused.prom.new: No such file or directory");
}

TEST_CASE("who reads while it is written sees one whole file, always") {
  Scratch scratch;
  const auto text_of = [](int number) {
    return std::string(static_cast<std::size_t>(20'000 + number * 100), static_cast<char>('a' + number % 26)) + "\n";
  };
  REQUIRE(write_textfile(scratch.directory(), text_of(0)));
  std::atomic<bool> stop = false;
  std::atomic<int> torn = 0;
  std::atomic<int> read = 0;
  std::thread reader([&] {
    while (!stop) {
      const std::string text = scratch.content();
      const bool whole = text.size() > 20'000 && text.back() == '\n' &&
                         text.find_first_not_of(text.front()) == text.size() - 1 && (text.size() - 20'001) % 100 == 0;
      torn += whole ? 0 : 1;
      ++read;
    }
  });
  for (int number = 1; number < 300 || (read < 50 && number < 100'000); ++number)
    REQUIRE(write_textfile(scratch.directory(), text_of(number % 300)));
  stop = true;
  reader.join();
  CHECK(read >= 50);
  CHECK(torn == 0);
}

TEST_CASE("the writer says of each write how it went, and goes on trying") {
  Scratch scratch;
  Said said;
  TextfileWriter writer(scratch.directory(), [&](const Result<void>& result) { said(result); });
  writer.write("a 1\n");
  REQUIRE(said.wait_for(1));
  CHECK(said.last().empty());
  CHECK(scratch.content() == "a 1\n");
  REQUIRE(mkdir(scratch.file(TextfileWriter::kTemporaryName).c_str(), 0700) == 0);
  const int count = said.count();
  writer.write("a 2\n");
  REQUIRE(said.wait_for(count + 1));
  CHECK(said.last() == "removing an old .defused.prom.new: Is a directory");
  CHECK(scratch.content() == "a 1\n");
  rmdir(scratch.file(TextfileWriter::kTemporaryName).c_str());
  writer.write("a 3\n");
  REQUIRE(said.wait_for(count + 2));
  CHECK(said.last().empty());
  CHECK(scratch.content() == "a 3\n");
  writer.remove(20s);
  CHECK(scratch.names().empty());
}

TEST_CASE("a directory that may not be written") {
  if (geteuid() == 0) return;  // root may: the lab looks at that as the front's account
  Scratch scratch;
  REQUIRE(chmod(scratch.path().c_str(), 0500) == 0);
  const auto denied = write_textfile(scratch.directory(), "a 1\n");
  REQUIRE_FALSE(denied);
  CHECK(denied.error().kind == ErrorKind::denied);
}

TEST_CASE("a file system that hangs holds nobody, and what waits behind it is the latest only") {
  const auto hanging = std::make_shared<Hanging>();
  std::atomic<int> said = 0;
  {
    TextfileWriter writer(0, [&](const Result<void>&) { ++said; },
                          {[hanging](int, const std::string& text) { return hanging->write(text); }, [](int) {}});
    writer.write("first");
    REQUIRE(hanging->wait_until_it_hangs());
    CHECK(time_of([&] {
            for (int i = 0; i < 1000; ++i) writer.write(std::to_string(i));
          }) < 5s);
    hanging->go_on();
    for (int i = 0; i < 2000 && said < 2; ++i) std::this_thread::sleep_for(10ms);
    CHECK(said == 2);
    CHECK(hanging->texts() == std::vector<std::string>{"first", "999"});
  }
  const auto for_ever = std::make_shared<Hanging>();
  said = 0;
  auto writer = std::make_unique<TextfileWriter>(
      0, [&](const Result<void>&) { ++said; },
      TextfileWriter::Files{[for_ever](int, const std::string& text) { return for_ever->write(text); }, [](int) {}});
  writer->write("first");
  REQUIRE(for_ever->wait_until_it_hangs());
  const auto waited = time_of([&] { writer->remove(50ms); });
  CHECK(waited >= 50ms);
  CHECK(waited < 10s);
  CHECK(time_of([&] { writer.reset(); }) < 10s);
  for_ever->go_on();
  std::this_thread::sleep_for(50ms);  // had it anything to say, it would say it now
  CHECK(said == 0);
}

TEST_CASE("what waits when it is to be removed is not written any more") {
  const auto hanging = std::make_shared<Hanging>();
  std::atomic<bool> removed = false;
  TextfileWriter writer(
      0, [](const Result<void>&) {},
      {[hanging](int, const std::string& text) { return hanging->write(text); }, [&removed](int) { removed = true; }});
  writer.write("first");
  REQUIRE(hanging->wait_until_it_hangs());
  writer.write("second");
  writer.remove(0ms);
  CHECK_FALSE(removed);
  hanging->go_on();
  for (int i = 0; i < 2000 && !removed; ++i) std::this_thread::sleep_for(10ms);
  CHECK(removed);
  CHECK(hanging->texts() == std::vector<std::string>{"first"});
}

TEST_CASE("writers come and go") {
  Scratch scratch;
  for (int i = 0; i < 200; ++i) {
    TextfileWriter writer(scratch.directory(), [](const Result<void>&) {});
    if (i % 2 == 0) writer.write("a 1\n");
  }
}

TEST_CASE("the writer's thread holds the directory and nothing else that could be missed") {
  Scratch scratch;
  const UniqueFd below(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const UniqueFd directory(fcntl(scratch.directory(), F_DUPFD_CLOEXEC, below.get() + 1));
  const UniqueFd above(fcntl(below.get(), F_DUPFD_CLOEXEC, directory.get() + 100));
  std::vector<int> held;
  Said said;
  UniqueFd arrived;
  TextfileWriter writer(directory.get(), [&](const Result<void>& result) { said(result); },
                        {[&](int given, const std::string& text) {
                           for (int fd = 0; fd < above.get() + 100; ++fd) {
                             if (fcntl(fd, F_GETFD) >= 0) held.push_back(fd);
                           }
                           return write_textfile(given, text);
                         },
                         &remove_textfile});
  REQUIRE(writer.apart());
  arrived.reset(fcntl(below.get(), F_DUPFD_CLOEXEC, directory.get() + 50));  // as a listener does
  writer.write("a 1\n");
  REQUIRE(said.wait_for(1));
  CHECK(said.last().empty());
  CHECK(scratch.content() == "a 1\n");
  std::vector<int> expected;
  for (const int fd : {0, 1, 2, directory.get()}) {
    if (fcntl(fd, F_GETFD) >= 0) expected.push_back(fd);
  }
  CHECK(held == expected);
  for (const int mine : {below.get(), directory.get(), above.get(), arrived.get()}) CHECK(fcntl(mine, F_GETFD) >= 0);
}

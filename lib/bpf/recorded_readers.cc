// SPDX-License-Identifier: Apache-2.0
#include "bpf/recorded_readers.h"

#include <cstdint>
#include <limits>
#include <optional>
#include <utility>

#include "base/text.h"

namespace defused {

namespace {

// Of a text; a host with a million open FUSE files has less.
constexpr std::size_t kMaxText = 64U << 20U;
// kernel stacks of 16 KiB lead to fewer.
constexpr std::size_t kMaxOnStack = 4096;

constexpr const char* kFiles = "files";
constexpr const char* kWaits = "waits";

// The fields of one line, one blank between them; `ok` is false once one is not what was asked for.
class Fields {
 public:
  explicit Fields(std::string_view line) : rest_(line) {}

  std::uint64_t number(std::uint64_t max = std::numeric_limits<std::uint64_t>::max()) { return check(next(), max); }
  pid_t pid() {
    const std::uint64_t value = number(std::numeric_limits<pid_t>::max());
    ok_ = ok_ && value > 0;
    return static_cast<pid_t>(value);
  }
  ConnectionId connection() { return parse_connection(next()); }
  std::optional<ConnectionId> connection_or_none() {
    const std::string_view field = next();
    return field == "-" ? std::nullopt : std::optional(parse_connection(field));
  }
  std::vector<ConnectionId> connections() {
    std::string_view list = next();
    std::vector<ConnectionId> out;
    if (list == "-") return out;
    ok_ = ok_ && !list.empty() && list.back() != ',';
    while (ok_ && !list.empty()) {
      out.push_back(parse_connection(take_field(list, ',')));
      ok_ = ok_ && out.size() <= kMaxOnStack;
    }
    return out;
  }
  /// Whether the next field is `yes`; it has to be one of the two.
  bool either(std::string_view yes, std::string_view no) {
    const std::string_view field = next();
    ok_ = ok_ && (field == yes || field == no);
    return field == yes;
  }
  [[nodiscard]] bool well_ended() const { return ok_ && ended_; }

 private:
  std::string_view next() {
    ok_ = ok_ && !ended_;
    ended_ = rest_.find(' ') == std::string_view::npos;
    return take_field(rest_, ' ');
  }
  std::uint64_t check(std::string_view field, std::uint64_t max) {
    const auto value = parse_u64(field);
    ok_ = ok_ && value && *value <= max;
    return value.value_or(0);
  }
  ConnectionId parse_connection(std::string_view field) {
    return ConnectionId{static_cast<std::uint32_t>(check(field, std::numeric_limits<std::uint32_t>::max()))};
  }

  std::string_view rest_;
  bool ok_ = true;
  bool ended_ = false;
};

// `parse_line` takes Fields and gives one thing.
template <typename T, typename ParseLine>
Result<std::vector<T>> parse_lines(const char* name, std::string_view text, const char* expected,
                                   ParseLine parse_line) {
  std::vector<T> out;
  for (std::size_t number = 1; !text.empty(); ++number) {
    // Without its newline a line may be cut short.
    const bool whole = text.find('\n') != std::string_view::npos;
    Fields fields(take_field(text, '\n'));
    out.push_back(parse_line(fields));
    if (whole && fields.well_ended()) continue;
    return fail(ErrorKind::malformed, std::string(name) + ": line " + std::to_string(number) + ": expected \"" +
                                          expected + "\" and a newline");
  }
  return out;
}

std::string text_of(std::uint64_t number) { return std::to_string(number); }
std::string text_of(ConnectionId id) { return std::to_string(id.kernel_dev); }

void append_line(std::string& out, const std::vector<std::string>& fields) {
  for (std::size_t i = 0; i < fields.size(); ++i) out.append(i == 0 ? "" : " ").append(fields[i]);
  out += '\n';
}

std::string join(const std::vector<ConnectionId>& ids) {
  std::string out;
  for (const ConnectionId id : ids) out.append(out.empty() ? "" : ",").append(text_of(id));
  return out.empty() ? "-" : out;
}

template <typename T>
using Parse = Result<std::vector<T>> (*)(std::string_view);

template <typename Reader, typename T>
class RecordedReader final : public Reader {
 public:
  RecordedReader(Beneath directory, const char* name, Parse<T> parse)
      : directory_(std::move(directory)), name_(name), parse_(parse) {}

  Result<std::vector<T>> read() override {
    const auto file = directory_.read_file(name_, kMaxText);
    if (!file) return Failure(file.error());
    if (file->truncated) return fail(ErrorKind::unsupported, std::string(name_) + ": too long");
    return parse_(file->text);
  }

 private:
  Beneath directory_;
  const char* name_;
  Parse<T> parse_;
};

}  // namespace

// device 4711 123456 40 7
// file 4712 123789 40
std::string render_open_files(const std::vector<OpenFuseFile>& files) {
  std::string out;
  for (const OpenFuseFile& file : files) {
    std::vector<std::string> fields = {file.device ? "device" : "file",
                                       text_of(static_cast<std::uint64_t>(file.process.pid)),
                                       text_of(file.process.start_ticks), text_of(file.connection)};
    if (file.device) fields.push_back(text_of(file.oldest_request));
    append_line(out, fields);
  }
  return out;
}

Result<std::vector<OpenFuseFile>> parse_open_files(std::string_view text) {
  return parse_lines<OpenFuseFile>(
      kFiles, text, "device PID START CONNECTION OLDEST_REQUEST or file PID START CONNECTION", [](Fields& fields) {
        OpenFuseFile file;
        file.device = fields.either("device", "file");
        file.process.pid = fields.pid();
        file.process.start_ticks = fields.number();
        file.connection = fields.connection();
        if (file.device) file.oldest_request = fields.number();
        return file;
      });
}

// 4711 4712 123456 17 group 40 complete 40,41
std::string render_waits(const std::vector<TaskWait>& waits) {
  std::string out;
  for (const TaskWait& wait : waits) {
    append_line(
        out,
        {text_of(static_cast<std::uint64_t>(wait.pid)), text_of(static_cast<std::uint64_t>(wait.thread.tid)),
         text_of(wait.thread.start_ticks), text_of(wait.context_switches), wait.group_exit ? "group" : "thread",
         wait.queued ? text_of(*wait.queued) : "-", wait.on_stack_complete ? "complete" : "more", join(wait.on_stack)});
  }
  return out;
}

Result<std::vector<TaskWait>> parse_waits(std::string_view text) {
  return parse_lines<TaskWait>(kWaits, text, "PID TID START SWITCHES group|thread QUEUED complete|more ON_STACK",
                               [](Fields& fields) {
                                 TaskWait wait;
                                 wait.pid = fields.pid();
                                 wait.thread.tid = fields.pid();
                                 wait.thread.start_ticks = fields.number();
                                 wait.context_switches = fields.number();
                                 wait.group_exit = fields.either("group", "thread");
                                 wait.queued = fields.connection_or_none();
                                 wait.on_stack_complete = fields.either("complete", "more");
                                 wait.on_stack = fields.connections();
                                 return wait;
                               });
}

std::unique_ptr<FileReader> recorded_files(Beneath directory) {
  return std::make_unique<RecordedReader<FileReader, OpenFuseFile>>(std::move(directory), kFiles, &parse_open_files);
}

std::unique_ptr<WaitReader> recorded_waits(Beneath directory) {
  return std::make_unique<RecordedReader<WaitReader, TaskWait>>(std::move(directory), kWaits, &parse_waits);
}

}  // namespace defused

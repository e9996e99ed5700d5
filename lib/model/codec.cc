// SPDX-License-Identifier: Apache-2.0
// The private payload. A structure is the array of its members in the order of members(), an enum its number, a map an
// array of pairs, a duration its nanoseconds, an absent optional null. One list of members serves both directions.
#include "model/codec.h"

#include <concepts>
#include <exception>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

#include "model/codec_members.h"

namespace defused {

namespace {

using nlohmann::json;

constexpr std::size_t kMaxPayloadBytes = 16U << 20U;  // 10,000 connections and 1,000 findings need about a quarter
constexpr std::size_t kMaxDepth = 16;                 // PassResult is 9 deep; the CBOR reader recurses per level

template <typename T>
concept Structure = requires(T& it) {
  members(it);
};

// A member that members() forgets would be lost on its way from one process to the next: an aggregate that can be made
// from more values than members() names does not compile.
struct Anything {
  template <typename T>
  operator T() const {  // NOLINT(google-explicit-constructor): converts to whatever a member is
    return T();
  }
};
template <typename T, std::size_t... I>
constexpr bool takes_values(std::index_sequence<I...> /*count*/) {
  return requires { T{(static_cast<void>(I), Anything{})...}; };
}
template <typename T, std::size_t Count>
constexpr bool kNamesAllMembers = takes_values<T>(std::make_index_sequence<Count>()) &&
                                  !takes_values<T>(std::make_index_sequence<Count + 1>());

template <typename Enum>
constexpr int last_of() {
  if constexpr (std::is_same_v<Enum, ErrorKind>) {
    return static_cast<int>(ErrorKind::io);
  } else if constexpr (std::is_same_v<Enum, ExposeSource>) {
    return static_cast<int>(ExposeSource::full);
  } else if constexpr (std::is_same_v<Enum, LogFormat>) {
    return static_cast<int>(LogFormat::json);
  } else if constexpr (std::is_same_v<Enum, SubjectKind>) {
    return static_cast<int>(SubjectKind::connection);
  } else if constexpr (std::is_same_v<Enum, LogLevel>) {
    return static_cast<int>(LogLevel::error);
  } else if constexpr (std::is_same_v<Enum, TlsVersion>) {
    return static_cast<int>(TlsVersion::tls13);
  } else if constexpr (std::is_same_v<Enum, ClientAuth>) {
    return static_cast<int>(ClientAuth::require_verified);
  } else {
    return static_cast<int>(AllWords<Enum>::values.back());
  }
}

// ---- values -> json

json pack(const std::string& text) { return text; }
json pack(Nanoseconds duration) { return duration.count(); }
template <typename T>
requires std::is_arithmetic_v<T> json pack(T number) { return number; }
template <typename T>
requires std::is_enum_v<T> json pack(T word) { return static_cast<int>(word); }
template <Structure T>
json pack(const T& structure);
template <typename T>
json pack(const std::optional<T>& value);
template <typename First, typename Second>
json pack(const std::pair<First, Second>& both);
template <typename T>
json pack(const std::vector<T>& values);
template <typename Key, typename Value>
json pack(const std::map<Key, Value>& entries);

template <Structure T>
json pack(const T& structure) {
  json out = json::array();
  std::apply([&](const auto&... member) { (out.push_back(pack(member)), ...); }, members(structure));
  return out;
}
template <typename T>
json pack(const std::optional<T>& value) {
  return value ? pack(*value) : json();
}
template <typename First, typename Second>
json pack(const std::pair<First, Second>& both) {
  json out = json::array();
  out.push_back(pack(both.first));
  out.push_back(pack(both.second));
  return out;
}
template <typename T>
json pack(const std::vector<T>& values) {
  json out = json::array();
  for (const auto& value : values) out.push_back(pack(value));
  return out;
}
template <typename Key, typename Value>
json pack(const std::map<Key, Value>& entries) {
  json out = json::array();
  for (const auto& entry : entries) out.push_back(pack(entry));
  return out;
}

// ---- json -> values; false: not of that form

bool unpack(json& in, std::string& out) {
  if (!in.is_string()) return false;
  out = std::move(in.get_ref<std::string&>());
  return true;
}
bool unpack(json& in, bool& out) {
  if (!in.is_boolean()) return false;
  out = in.get<bool>();
  return true;
}
bool unpack(json& in, double& out) {
  if (!in.is_number()) return false;
  out = in.get<double>();
  return true;
}
template <std::integral T>
bool unpack(json& in, T& out) {
  if (in.is_number_unsigned()) {
    const auto number = in.get<std::uint64_t>();
    out = static_cast<T>(number);
    return std::in_range<T>(number);
  }
  if (!in.is_number_integer()) return false;
  const auto number = in.get<std::int64_t>();
  out = static_cast<T>(number);
  return std::in_range<T>(number);
}
bool unpack(json& in, char& out) {
  signed char letter = 0;
  if (!unpack(in, letter)) return false;
  out = static_cast<char>(letter);
  return true;
}
bool unpack(json& in, Nanoseconds& out) {
  std::int64_t count = 0;
  if (!unpack(in, count)) return false;
  out = Nanoseconds(count);
  return true;
}
template <typename T>
requires std::is_enum_v<T>
bool unpack(json& in, T& out) {
  int number = 0;
  if (!unpack(in, number) || number < 0 || number > last_of<T>()) return false;
  out = static_cast<T>(number);
  return true;
}
template <Structure T>
bool unpack(json& in, T& out);
template <typename T>
bool unpack(json& in, std::optional<T>& out);
template <typename First, typename Second>
bool unpack(json& in, std::pair<First, Second>& out);
template <typename T>
bool unpack(json& in, std::vector<T>& out);
template <typename Key, typename Value>
bool unpack(json& in, std::map<Key, Value>& out);

template <Structure T>
bool unpack(json& in, T& out) {
  auto wanted = members(out);
  constexpr std::size_t kCount = std::tuple_size_v<decltype(wanted)>;
  static_assert(kNamesAllMembers<T, kCount>, "add the new member of this structure to its members() above");
  if (!in.is_array() || in.size() != kCount) return false;
  std::size_t at = 0;
  return std::apply([&](auto&... member) { return (unpack(in[at++], member) && ...); }, wanted);
}
template <typename T>
bool unpack(json& in, std::optional<T>& out) {
  if (in.is_null()) {
    out.reset();
    return true;
  }
  return unpack(in, out.emplace());
}
template <typename First, typename Second>
bool unpack(json& in, std::pair<First, Second>& out) {
  return in.is_array() && in.size() == 2 && unpack(in[0], out.first) && unpack(in[1], out.second);
}
template <typename T>
bool unpack(json& in, std::vector<T>& out) {
  if (!in.is_array()) return false;
  out.clear();
  out.reserve(in.size());
  for (json& element : in) {
    T value{};
    if (!unpack(element, value)) return false;
    out.push_back(std::move(value));
  }
  return true;
}
template <typename Key, typename Value>
bool unpack(json& in, std::map<Key, Value>& out) {
  if (!in.is_array()) return false;
  out.clear();
  for (json& element : in) {
    std::pair<Key, Value> entry;
    if (!unpack(element, entry)) return false;
    out.insert_or_assign(out.end(), std::move(entry.first), std::move(entry.second));
  }
  return true;
}

// Builds arrays of scalars and arrays, which is all that a payload has, and refuses everything else and what is too
// deep: nlohmann's own CBOR reader recurses as deep as its input says.
class PayloadReader final : public json::json_sax_t {
 public:
  [[nodiscard]] json& root() { return root_; }

  bool null() override { return add(json()); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t& /*text*/) override { return add(value); }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t& /*value*/) override { return false; }
  bool start_object(std::size_t /*elements*/) override { return false; }
  bool key(string_t& /*name*/) override { return false; }
  bool end_object() override { return false; }
  bool start_array(std::size_t /*elements*/) override {
    if (open_.size() == kMaxDepth || !add(json::array())) return false;
    open_.push_back(open_.empty() ? &root_ : &open_.back()->back());
    return true;
  }
  bool end_array() override {
    open_.pop_back();
    return true;
  }
  bool parse_error(std::size_t /*position*/, const std::string& /*token*/,
                   const nlohmann::detail::exception& /*error*/) override {
    return false;
  }

 private:
  bool add(json value) {
    if (open_.empty()) {
      root_ = std::move(value);
    } else {
      open_.back()->push_back(std::move(value));
    }
    return true;
  }

  json root_;
  std::vector<json*> open_;  // the arrays around the next value, outermost first
};

template <typename T>
Result<T> decode(const std::vector<std::uint8_t>& bytes, const char* what) {
  const auto malformed = [&] {
    return fail(ErrorKind::malformed, std::string(what) + " of " + std::to_string(bytes.size()) +
                                          " bytes: not in the form that this program writes");
  };
  if (bytes.size() > kMaxPayloadBytes) return malformed();
  try {
    PayloadReader reader;
    T value;
    if (!json::sax_parse(bytes, &reader, json::input_format_t::cbor) || !unpack(reader.root(), value)) {
      return malformed();
    }
    return value;
  } catch (const std::exception&) {  // nlohmann_json's, where a length is absurd
    return malformed();
  }
}

}  // namespace

std::vector<std::uint8_t> encode_pass(const PassResult& pass) { return json::to_cbor(pack(pass)); }

Result<PassResult> decode_pass(const std::vector<std::uint8_t>& bytes) { return decode<PassResult>(bytes, "a pass"); }

std::vector<std::uint8_t> encode_settings(const Settings& settings) { return json::to_cbor(pack(settings)); }

Result<Settings> decode_settings(const std::vector<std::uint8_t>& bytes) { return decode<Settings>(bytes, "settings"); }

std::vector<std::uint8_t> encode_web_config(const CheckedWebConfig& checked) { return json::to_cbor(pack(checked)); }

Result<CheckedWebConfig> decode_web_config(const std::vector<std::uint8_t>& bytes) {
  return decode<CheckedWebConfig>(bytes, "a web configuration");
}

}  // namespace defused

// SPDX-License-Identifier: Apache-2.0
// The small words of the status page: times, ages, names cut to a length that a phone can show. Pure; inner part of
// status_page.
#pragma once

#include <string>
#include <string_view>

#include "exporters/exporter.h"
#include "exporters/http/html.h"
#include "model/sentences.h"
#include "model/short_name.h"

namespace defused::page {

/// "3 min 12 s", "2 h 05 min", "4 d 3 h", "under 1 s".
std::string age_in_words(Nanoseconds age);

/// <time>2026-07-01 12:00:00 UTC</time>; "not known" for 0.
void add_time(Html& html, Nanoseconds wall);

/// The same with "(3 min 12 s)" behind it: how long ago that was when the pass began.
void add_since(Html& html, Nanoseconds wall, Nanoseconds age);

/// The word that reports have for a value of an enumeration (model/codec.h).
std::string text_of(auto word) { return std::string(to_string(word)); }

/// The first `columns` columns of `text`, with ".." where something was cut. Characters from U+1100 on take two.
std::string cut(std::string_view text, std::size_t columns);

/// "40, 41 and 3 more".
std::string list_ids(const std::vector<ConnectionId>& ids, std::size_t most);

/// 4711 (s3fs), 4712 (cat) and 12 more, where there are `count` in all.
void add_processes(Html& html, const std::vector<NamedProcess>& processes, std::size_t count);

/// Says of how many things, `what`, the page shows only `most`.
void add_rest(Html& html, std::size_t count, std::size_t most, std::string_view what);

/// A term and its value in a <dl>.
void add_pair(Html& html, std::string_view term, std::string_view value);

/// A word of DESIGN.md section 2 as <code>.
void add_word(Html& html, std::string_view word);

/// A command to type, that one tap selects.
void add_command(Html& html, std::string_view command);

}  // namespace defused::page

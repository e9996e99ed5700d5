// SPDX-License-Identifier: Apache-2.0
// What is served where: the status page for people, metrics, health, the report. Pure: a View in, a response out.
#pragma once

#include <functional>
#include <string>

#include "exporters/exporter.h"
#include "exporters/http/server.h"

namespace defused {

/// `render_metrics` makes the text of the telemetry path.
HttpResponse respond(const HttpRequest& request, const View& view, const std::function<std::string()>& render_metrics);

/// The status page: HTML, no external assets, no script; all text escaped.
std::string render_status_page(const View& view);

}  // namespace defused

// SPDX-License-Identifier: Apache-2.0
#include "exporters/http/pages.h"

#include <chrono>

#include "exporters/readiness.h"
#include "model/codec.h"
#include "model/report_schema.h"

namespace defused {

namespace {

constexpr const char* kMetricsType = "text/plain; version=0.0.4; charset=utf-8";
constexpr const char* kHtmlType = "text/html; charset=utf-8";
constexpr const char* kJsonType = "application/json";
constexpr const char* kSchemaType = "application/schema+json";
// What is costly to render is rendered once for all who ask within this time; a new report ends it.
constexpr std::chrono::milliseconds kKeepPage{1'000};
constexpr std::chrono::milliseconds kKeepMetrics{100};

HttpResponse serve_ready(const View& view) {
  const std::string reason = why_not_ready(view);
  if (reason.empty()) return {200, "text/plain; charset=utf-8", "defused is ready.\n"};
  return {503, "text/plain; charset=utf-8", "defused is not ready: " + reason + ".\n"};
}

HttpResponse serve_report(const View& view) {
  if (!view.pass) return {503, "text/plain; charset=utf-8", "there is no report yet.\n"};
  constexpr int kIndent = 2;
  return {200, kJsonType, render_report_json(view.pass->report, view.settings.expose_source, kIndent) + "\n",
          kKeepPage};
}

}  // namespace

HttpResponse respond(const HttpRequest& request, const View& view, const std::function<std::string()>& render_metrics) {
  if (request.path == view.settings.web.telemetry_path) return {200, kMetricsType, render_metrics(), kKeepMetrics};
  if (request.path == "/") return {200, kHtmlType, render_status_page(view), kKeepPage};
  if (request.path == "/-/healthy") return {200, "text/plain; charset=utf-8", "defused is healthy.\n"};
  if (request.path == "/-/ready") return serve_ready(view);
  if (request.path == "/api/v1/report") return serve_report(view);
  if (request.path == "/api/v1/report/schema") return {200, kSchemaType, std::string(report_schema_json())};
  return {404, "text/plain; charset=utf-8",
          "there is no such page; see /, " + view.settings.web.telemetry_path +
              ", /-/healthy, /-/ready, /api/v1/report, /api/v1/report/schema\n"};
}

}  // namespace defused

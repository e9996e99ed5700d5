// SPDX-License-Identifier: Apache-2.0
#include "exporters/prometheus/catalogue.h"

#include <limits>

#include "base/text.h"

namespace defused {

namespace {

// A source can be as long as a mount option; labels of a series are cut no further than the parser did.
constexpr std::size_t kMaxLabelBytes = 4 * kMaxTextBytes;

}  // namespace

void Samples::add(double value, const Labels& labels) {
  prometheus::ClientMetric metric;
  // The parsers have made it harmless; one label that is not would cost the whole target.
  for (const auto& [name, text] : labels) metric.label.push_back({name, sanitize(text, kMaxLabelBytes)});
  if (type_ == prometheus::MetricType::Counter) {
    metric.counter.value = value;
  } else {
    metric.gauge.value = value;
  }
  metrics_.push_back(std::move(metric));
}

void Samples::add_histogram(const Histogram& histogram) {
  prometheus::ClientMetric metric;
  std::uint64_t cumulative = 0;
  for (std::size_t i = 0; i < histogram.counts.size(); ++i) {
    cumulative += histogram.counts[i];
    const double bound = i < histogram.bounds.size() ? histogram.bounds[i] : std::numeric_limits<double>::infinity();
    metric.histogram.bucket.push_back({cumulative, bound});
  }
  metric.histogram.sample_count = cumulative;
  metric.histogram.sample_sum = histogram.sum;
  metrics_.push_back(std::move(metric));
}

}  // namespace defused

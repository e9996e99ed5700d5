// SPDX-License-Identifier: Apache-2.0
#include "exporters/http/answers.h"

#include <algorithm>

namespace defused {

namespace {

constexpr std::size_t kSmallestCompressed = 512;
// A report of 1 MiB takes 15 ms to render and 2 ms to compress: so at most 4 % of the time of the loop, however often
// it is asked for.
constexpr std::chrono::milliseconds kKeepOfMiB{500};
constexpr std::size_t kMostKept = 16;  // more pages than there are

}  // namespace

BodyInUse::BodyInUse(std::shared_ptr<SharedBody> body, std::size_t& total) : body_(std::move(body)), total_(total) {
  if (body_->users_++ == 0) total_ += body_->bytes_.size();
}

BodyInUse::~BodyInUse() {
  if (--body_->users_ == 0) total_ -= body_->bytes_.size();
}

Answers::Kept Answers::render(const HttpRequest& request, SteadyTime now) {
  HttpResponse response = handler_(request);
  Kept kept;
  kept.status = response.status;
  kept.content_type = std::move(response.content_type);
  kept.plain = std::make_shared<SharedBody>(std::move(response.body));
  const std::chrono::milliseconds for_its_size = kKeepOfMiB * (kept.plain->bytes().size() >> 20U);
  kept.until = now + (response.keep_for.count() == 0 ? response.keep_for : std::max(response.keep_for, for_its_size));
  return kept;
}

Answer Answers::use(Kept& kept, bool gzip) {
  if (gzip && !kept.compressed && kept.plain->bytes().size() >= kSmallestCompressed) {
    if (auto compressed = compress_gzip(kept.plain->bytes())) {
      kept.compressed = std::make_shared<SharedBody>(*std::move(compressed));
    }
  }
  Answer answer;
  answer.status = kept.status;
  answer.content_type = kept.content_type;
  answer.compressed = gzip && kept.compressed;
  auto& body = answer.compressed ? kept.compressed : kept.plain;
  // One body alone is always sent, however large; it may be the only report there is.
  if (!body->in_use() && in_flight_ > 0 && in_flight_ + body->bytes().size() > max_bytes_) return answer;
  answer.body = std::make_unique<BodyInUse>(body, in_flight_);
  return answer;
}

Answer Answers::answer(const HttpRequest& request, bool gzip, SteadyTime now) {
  const auto found = kept_.find(request.path);
  if (found != kept_.end() && now < found->second.until) return use(found->second, gzip);
  Kept kept = render(request, now);
  Answer answer = use(kept, gzip);
  if (kept.until > now && kept_.size() < kMostKept) kept_.insert_or_assign(request.path, std::move(kept));
  return answer;
}

Answer Answers::say(int status, const std::string& sentence) {
  Answer answer;
  answer.status = status;
  answer.content_type = "text/plain; charset=utf-8";
  answer.body = std::make_unique<BodyInUse>(std::make_shared<SharedBody>(sentence), in_flight_);
  return answer;
}

void Answers::forget_old(SteadyTime now) {
  for (auto it = kept_.begin(); it != kept_.end();) it = now < it->second.until ? std::next(it) : kept_.erase(it);
}

}  // namespace defused

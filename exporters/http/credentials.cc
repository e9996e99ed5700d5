// SPDX-License-Identifier: Apache-2.0
#include "exporters/http/credentials.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <list>
#include <map>
#include <optional>

#include "exporters/http/basic_authorization.h"
#include "exporters/http/password_thread.h"

namespace defused {

namespace {

constexpr std::size_t kDigestBytes = 32;
using Digest = std::array<unsigned char, kDigestBytes>;

bool same(const Digest& a, const Digest& b) { return gnutls_memcmp(a.data(), b.data(), a.size()) == 0; }

struct Waiting {
  std::uint64_t ticket = 0;
  std::uint64_t source = 0;
  Digest digest{};
  std::string password;
  std::string hash;
};

}  // namespace

class Credentials::Impl {
 public:
  explicit Impl(std::unique_ptr<PasswordThread> thread) : thread_(std::move(thread)) {}
  ~Impl() {
    for (Waiting& waiting : waiting_) forget_password(waiting);
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  // Of this process alone: what is remembered is worth nothing to whoever reads it elsewhere.
  bool make_key() { return gnutls_rnd(GNUTLS_RND_KEY, key_.data(), key_.size()) == 0; }

  void set_users(const std::vector<WebUser>& users) {
    users_.clear();
    std::vector<std::string> hashes;
    for (const WebUser& user : users) {
      users_[user.name] = user.password_hash;
      hashes.push_back(user.password_hash);
    }
    unmatched_ = make_unmatched_hash(hashes);
    remembered_.clear();
    if (computing_) tell(computing_->ticket, Answer::wrong);
    computing_.reset();
    while (!waiting_.empty()) drop(waiting_.begin(), Answer::wrong);
  }

  [[nodiscard]] bool required() const { return !users_.empty(); }

  Answer ask(std::string_view authorization, std::uint64_t ticket, std::uint64_t source) {
    if (users_.empty()) return Answer::right;
    auto said = parse_basic_authorization(authorization);
    if (!said) return Answer::wrong;
    const auto user = users_.find(said->name);
    Waiting waiting{ticket, source, {}, std::move(said->password), user == users_.end() ? unmatched_ : user->second};
    if (!make_digest(said->name, waiting)) return Answer::busy;
    if (recall(waiting.digest)) {
      forget_password(waiting);
      return Answer::right;
    }
    if (pending() >= kMostPending && !make_room(source)) {
      forget_password(waiting);
      return Answer::busy;
    }
    waiting_.push_back(std::move(waiting));
    compute_next();
    return Answer::pending;
  }

  [[nodiscard]] int descriptor() const { return thread_->descriptor(); }

  std::vector<Verdict> take_verdicts() {
    eventfd_t count = 0;
    eventfd_read(descriptor(), &count);
    if (const auto right = thread_->take()) {
      busy_ = false;
      if (computing_) judge(*std::exchange(computing_, std::nullopt), *right ? Answer::right : Answer::wrong);
    }
    compute_next();
    return std::exchange(verdicts_, {});
  }

 private:
  static void forget_password(Waiting& waiting) {
    explicit_bzero(waiting.password.data(), waiting.password.size());
    waiting.password.clear();
  }

  [[nodiscard]] std::size_t pending() const { return waiting_.size() + (computing_ ? 1 : 0); }

  bool make_digest(const std::string& name, Waiting& waiting) const {
    std::string text = name + '\0' + waiting.password + '\0' + waiting.hash;  // none of them has a NUL
    const int done =
        gnutls_hmac_fast(GNUTLS_MAC_SHA256, key_.data(), key_.size(), text.data(), text.size(), waiting.digest.data());
    explicit_bzero(text.data(), text.size());
    return done == 0;
  }

  // Looks at all, so that the time says nothing. What is used moves to the end, the first is forgotten.
  bool recall(const Digest& digest) {
    auto found = remembered_.end();
    for (auto it = remembered_.begin(); it != remembered_.end(); ++it) {
      if (same(*it, digest)) found = it;
    }
    if (found == remembered_.end()) return false;
    remembered_.erase(found);
    remembered_.push_back(digest);
    return true;
  }

  void remember(const Digest& digest) {
    if (remembered_.size() >= kMostRemembered) remembered_.pop_front();
    remembered_.push_back(digest);
  }

  // The newest of the source that has the most waiting gives way, if that source has more than the one who asks.
  bool make_room(std::uint64_t source) {
    std::map<std::uint64_t, std::size_t> counts;
    for (const Waiting& waiting : waiting_) ++counts[waiting.source];
    const auto greediest = std::max_element(counts.begin(), counts.end(),
                                            [](const auto& a, const auto& b) { return a.second < b.second; });
    if (greediest == counts.end() || greediest->second <= counts[source] + 1) return false;
    const auto victim = std::find_if(waiting_.rbegin(), waiting_.rend(),
                                     [&](const Waiting& waiting) { return waiting.source == greediest->first; });
    drop(std::prev(victim.base()), Answer::busy);
    return true;
  }

  // The sources take turns, by their numbers; the oldest question of the one whose turn it is.
  std::list<Waiting>::iterator find_next() {
    // How far behind the last one in a circle: 0 is the next number, the last one itself comes last.
    const auto distance = [this](const Waiting& waiting) { return waiting.source - last_source_ - 1; };
    return std::min_element(waiting_.begin(), waiting_.end(),
                            [&](const Waiting& a, const Waiting& b) { return distance(a) < distance(b); });
  }

  void compute_next() {
    // After a change of users the thread may still be at an old question: its answer is nobody's.
    if (busy_ || waiting_.empty()) return;
    const auto next = find_next();
    computing_ = std::move(*next);
    waiting_.erase(next);
    last_source_ = computing_->source;
    busy_ = true;
    thread_->ask(std::exchange(computing_->password, {}), computing_->hash);
  }

  void judge(const Waiting& asked, Answer answer) {
    if (answer == Answer::right) remember(asked.digest);
    tell(asked.ticket, answer);
    // Whoever asked the same meanwhile has the same answer.
    for (auto it = waiting_.begin(); it != waiting_.end();) {
      const auto next = std::next(it);
      if (same(it->digest, asked.digest)) drop(it, answer);
      it = next;
    }
  }

  void drop(std::list<Waiting>::iterator waiting, Answer answer) {
    tell(waiting->ticket, answer);
    forget_password(*waiting);
    waiting_.erase(waiting);
  }

  void tell(std::uint64_t ticket, Answer answer) {
    verdicts_.push_back({ticket, answer});
    eventfd_write(descriptor(), 1);
  }

  std::unique_ptr<PasswordThread> thread_;
  std::array<unsigned char, kDigestBytes> key_{};
  std::map<std::string, std::string> users_;  ///< name -> hash
  std::string unmatched_;
  std::deque<Digest> remembered_;
  std::list<Waiting> waiting_;
  std::optional<Waiting> computing_;  ///< nothing also where the thread is at a question of users that are gone
  std::uint64_t last_source_ = 0;     ///< whose question was computed last
  bool busy_ = false;                 ///< the thread is at a question
  std::vector<Verdict> verdicts_;
};

Credentials::Credentials(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Credentials::~Credentials() = default;

Result<std::unique_ptr<Credentials>> Credentials::create() {
  auto thread = PasswordThread::start();
  if (!thread) return Failure(thread.error());
  auto impl = std::make_unique<Impl>(*std::move(thread));
  if (!impl->make_key()) return fail(ErrorKind::io, "GnuTLS has no random numbers");
  return std::unique_ptr<Credentials>(new Credentials(std::move(impl)));
}

void Credentials::set_users(const std::vector<WebUser>& users) { impl_->set_users(users); }
bool Credentials::required() const { return impl_->required(); }
Credentials::Answer Credentials::ask(std::string_view authorization, std::uint64_t ticket, std::uint64_t source) {
  return impl_->ask(authorization, ticket, source);
}
int Credentials::descriptor() const { return impl_->descriptor(); }
std::vector<Credentials::Verdict> Credentials::take_verdicts() { return impl_->take_verdicts(); }

}  // namespace defused

// SPDX-License-Identifier: Apache-2.0
#include "exporters/http/password_thread.h"

#include <crypt.h>
#include <gnutls/gnutls.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <mutex>

#include "base/unique_fd.h"

namespace defused {

namespace {

constexpr std::size_t kStackBytes = 256U << 10U;  // crypt_data, the large part, is on the heap

void wipe(std::string& text) {
  explicit_bzero(text.data(), text.size());
  text.clear();
}

// "$2b$12$": the cost stands at 4.
std::string cost_of(const std::string& hash) { return hash.size() < 7 ? std::string() : hash.substr(4, 2); }

}  // namespace

bool is_password_of(const std::string& password, const std::string& hash) {
  const auto data = std::make_unique<crypt_data>();
  const char* made = crypt_r(password.c_str(), hash.c_str(), data.get());
  const bool same = made != nullptr && made[0] != '*' && std::strlen(made) == hash.size() &&
                    gnutls_memcmp(made, hash.data(), hash.size()) == 0;
  explicit_bzero(data.get(), sizeof(crypt_data));
  return same;
}

std::string make_unmatched_hash(const std::vector<std::string>& hashes) {
  std::string cost = "10";
  for (std::size_t i = 0; i < hashes.size(); ++i) {
    if (i == 0 || cost_of(hashes[i]) > cost) cost = cost_of(hashes[i]);
  }
  // A salt alone: what is computed from it is longer, so never equal.
  return "$2b$" + cost + "$abcdefghijklmnopqrstuu";
}

class PasswordThread::Impl {
 public:
  ~Impl() {
    if (!running_) return;
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    changed_.notify_all();
    pthread_join(thread_, nullptr);
  }
  Impl() = default;
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  Result<void> start() {
    event_.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!event_) return fail_errno(errno, "creating an eventfd");
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, kStackBytes);
    sigset_t all;
    sigfillset(&all);
    pthread_attr_setsigmask_np(&attributes, &all);
    const int error = pthread_create(&thread_, &attributes, &Impl::run, this);
    pthread_attr_destroy(&attributes);
    if (error != 0) return fail_errno(error, "starting the thread for passwords");
    running_ = true;
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return ready_; });
    return {};
  }

  void ask(std::string password, std::string hash) {
    {
      const std::lock_guard lock(mutex_);
      question_ = Question{std::move(password), std::move(hash)};
    }
    changed_.notify_all();
  }

  std::optional<bool> take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(answer_, std::nullopt);
  }

  [[nodiscard]] int descriptor() const { return event_.get(); }

 private:
  struct Question {
    std::string password;
    std::string hash;
  };

  static void* run(void* self) {
    static_cast<Impl*>(self)->work();
    return nullptr;
  }

  void work() {
    std::unique_lock lock(mutex_);
    ready_ = true;
    changed_.notify_all();
    while (true) {
      changed_.wait(lock, [this] { return stop_ || question_; });
      if (stop_) return;
      Question question = *std::exchange(question_, std::nullopt);
      lock.unlock();
      const bool right = is_password_of(question.password, question.hash);
      wipe(question.password);
      lock.lock();
      answer_ = right;
      eventfd_write(event_.get(), 1);
    }
  }

  UniqueFd event_;
  pthread_t thread_{};
  bool running_ = false;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool ready_ = false;
  bool stop_ = false;
  std::optional<Question> question_;
  std::optional<bool> answer_;
};

PasswordThread::PasswordThread(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
PasswordThread::~PasswordThread() = default;

Result<std::unique_ptr<PasswordThread>> PasswordThread::start() {
  auto impl = std::make_unique<Impl>();
  if (auto started = impl->start(); !started) return Failure(started.error());
  return std::unique_ptr<PasswordThread>(new PasswordThread(std::move(impl)));
}

void PasswordThread::ask(std::string password, std::string hash) { impl_->ask(std::move(password), std::move(hash)); }
std::optional<bool> PasswordThread::take() { return impl_->take(); }
int PasswordThread::descriptor() const { return impl_->descriptor(); }

}  // namespace defused

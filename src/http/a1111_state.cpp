#include "http/a1111_state.h"

#include <algorithm>

namespace tintype::http {

A1111Options A1111State::options(const std::string& owner) const {
  const std::lock_guard lock(mutex_);
  const auto found = owners_.find(owner);
  return found == owners_.end() ? A1111Options() : found->second.options;
}

void A1111State::set_options(const std::string& owner, A1111Options options) {
  const std::lock_guard lock(mutex_);
  owners_[owner].options = std::move(options);
}

void A1111State::begin(const std::string& owner, const JobId& job) {
  const std::lock_guard lock(mutex_);
  owners_[owner].live.push_back(job);
}

void A1111State::end(const std::string& owner, const JobId& job) {
  const std::lock_guard lock(mutex_);
  std::vector<JobId>& live = owners_[owner].live;
  if (const auto found = std::find(live.begin(), live.end(), job); found != live.end())
    live.erase(found);
}

std::vector<JobId> A1111State::live(const std::string& owner) const {
  const std::lock_guard lock(mutex_);
  const auto found = owners_.find(owner);
  return found == owners_.end() ? std::vector<JobId>() : found->second.live;
}

}  // namespace tintype::http

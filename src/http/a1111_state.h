/// What A1111's API remembers between requests: each caller's options, and the jobs that its
/// progress and interrupt mean. Bounded by the number of API keys. Thread-safe.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "http/a1111_json.h"
#include "serving/job_id.h"

namespace tintype::http {

class A1111State {
 public:
  A1111Options options(const std::string& owner) const;
  void set_options(const std::string& owner, A1111Options options);

  void begin(const std::string& owner, const JobId& job);
  void end(const std::string& owner, const JobId& job);
  /// Jobs whose clients wait, oldest first.
  std::vector<JobId> live(const std::string& owner) const;

 private:
  struct Owner {
    A1111Options options;
    std::vector<JobId> live;
  };
  mutable std::mutex mutex_;
  std::map<std::string, Owner> owners_;
};

}  // namespace tintype::http

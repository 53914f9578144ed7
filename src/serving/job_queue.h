/// The order in which queued jobs begin: the higher priority first; within a priority owners take
/// turns, each weighted by the work it was given so far; an owner's own jobs in their order. No
/// threads: the runtime calls under its lock.
#pragma once

#include <cstddef>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "serving/job_id.h"

namespace tintype {

class JobQueue {
 public:
  struct Entry {
    JobId id;
    std::string owner;
    int priority = 0;
    double work = 1;  ///< > 0
  };

  void push_back(Entry entry) { push(std::move(entry), false); }
  /// Before the other jobs of its owner and priority: a job that was begun already. Its work is not
  /// counted a second time.
  void push_front(Entry entry) { push(std::move(entry), true); }

  /// The job that begins next; empty queues have none.
  std::optional<JobId> front() const;
  /// Takes the front out and counts its work for its owner.
  void pop_front();
  /// Takes a job out from anywhere. False: not here.
  bool remove(const JobId& id);

  size_t size() const { return jobs_.size(); }
  bool empty() const { return jobs_.empty(); }
  size_t size_of_owner(const std::string& owner) const;
  /// Queued jobs of this priority or a higher one.
  size_t size_from_priority(int priority) const;
  /// All jobs in the order in which they would begin if nothing else came. O(n log owners)
  std::vector<Entry> order() const;
  /// Changes with every change of the order.
  size_t version() const { return version_; }

 private:
  struct Item {
    Entry entry;
    bool counted = false;  ///< its work was counted when it began the first time
  };
  struct Line {
    std::list<Item> items;
    size_t since = 0;  ///< breaks ties: who waited longer goes first
  };
  using Turn = std::tuple<double, size_t, std::string>;  ///< work so far, since, owner
  struct Level {
    std::map<std::string, Line> lines;  ///< by owner; none is empty
    std::set<Turn> turns;
    size_t jobs = 0;
  };
  struct Place {
    int priority;
    std::string owner;
    std::list<Item>::iterator item;
  };
  struct Owner {
    double served = 0;  ///< work given so far, on the queue's own clock
    size_t queued = 0;
  };

  void push(Entry entry, bool front);
  void take_out(std::unordered_map<JobId, Place>::iterator place);
  void serve(const std::string& owner, double work);

  std::map<int, Level, std::greater<>> levels_;
  std::unordered_map<JobId, Place> jobs_;
  std::map<std::string, Owner> owners_;
  /// What the last served owner had when it was served: who comes anew starts here, so that nobody
  /// saves up turns by staying away.
  double clock_ = 0;
  size_t arrivals_ = 0, version_ = 0;
};

}  // namespace tintype

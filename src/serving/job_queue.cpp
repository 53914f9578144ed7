#include "serving/job_queue.h"

#include <algorithm>

namespace tintype {

void JobQueue::push(Entry entry, bool front) {
  Owner& owner = owners_[entry.owner];
  if (owner.queued == 0) owner.served = std::max(owner.served, clock_);
  ++owner.queued;
  Level& level = levels_[entry.priority];
  auto [line, is_new] = level.lines.try_emplace(entry.owner);
  if (is_new) {
    line->second.since = ++arrivals_;
    level.turns.emplace(owner.served, line->second.since, entry.owner);
  }
  ++level.jobs;
  ++version_;
  std::list<Item>& items = line->second.items;
  const JobId id = entry.id;
  Place place{entry.priority, entry.owner, {}};
  place.item = items.insert(front ? items.begin() : items.end(), Item{std::move(entry), front});
  jobs_.emplace(id, std::move(place));
}

std::optional<JobId> JobQueue::front() const {
  if (levels_.empty()) return {};
  const Level& level = levels_.begin()->second;
  return level.lines.at(std::get<2>(*level.turns.begin())).items.front().entry.id;
}

void JobQueue::pop_front() {
  const std::optional<JobId> id = front();
  if (!id) return;
  const auto place = jobs_.find(*id);
  const std::string owner = place->second.owner;
  const Item& item = *place->second.item;
  const double work = item.counted ? 0 : item.entry.work;
  clock_ = std::max(clock_, owners_[owner].served);
  serve(owner, work);
  take_out(place);
}

bool JobQueue::remove(const JobId& id) {
  const auto place = jobs_.find(id);
  if (place == jobs_.end()) return false;
  take_out(place);
  return true;
}

/// Moves the owner's turn back, on every level where it waits.
void JobQueue::serve(const std::string& owner, double work) {
  Owner& account = owners_[owner];
  for (auto& [priority, level] : levels_) {
    const auto line = level.lines.find(owner);
    if (line == level.lines.end()) continue;
    level.turns.erase({account.served, line->second.since, owner});
    line->second.since = ++arrivals_;
    level.turns.emplace(account.served + work, line->second.since, owner);
  }
  account.served += work;
}

void JobQueue::take_out(std::unordered_map<JobId, Place>::iterator found) {
  const Place place = found->second;
  jobs_.erase(found);
  ++version_;
  Level& level = levels_.at(place.priority);
  const auto line = level.lines.find(place.owner);
  Owner& owner = owners_.at(place.owner);
  line->second.items.erase(place.item);
  --level.jobs;
  if (line->second.items.empty()) {
    level.turns.erase({owner.served, line->second.since, place.owner});
    level.lines.erase(line);
    if (level.lines.empty()) levels_.erase(place.priority);
  }
  if (--owner.queued > 0) return;
  // Accounts of owners who are away matter only while they are ahead of the clock.
  if (owners_.size() > 1000) {
    std::erase_if(owners_, [&](const auto& item) {
      return item.second.queued == 0 && item.second.served <= clock_;
    });
  }
}

size_t JobQueue::size_of_owner(const std::string& owner) const {
  const auto found = owners_.find(owner);
  return found == owners_.end() ? 0 : found->second.queued;
}

size_t JobQueue::size_from_priority(int priority) const {
  size_t jobs = 0;
  for (const auto& [level_priority, level] : levels_) {
    if (level_priority >= priority) jobs += level.jobs;
  }
  return jobs;
}

std::vector<JobQueue::Entry> JobQueue::order() const {
  struct Cursor {
    const std::list<Item>* items;
    std::list<Item>::const_iterator next;
  };
  std::vector<Entry> out;
  out.reserve(jobs_.size());
  std::map<std::string, double> served;  // moves on from level to level
  size_t arrivals = arrivals_;
  for (const auto& [priority, level] : levels_) {
    std::map<std::string, Cursor> cursors;
    std::set<Turn> turns;
    for (const auto& [owner, line] : level.lines) {
      cursors[owner] = {&line.items, line.items.begin()};
      const auto known = served.try_emplace(owner, owners_.at(owner).served).first;
      turns.emplace(known->second, line.since, owner);
    }
    while (!turns.empty()) {
      const std::string owner = std::get<2>(*turns.begin());
      turns.erase(turns.begin());
      Cursor& cursor = cursors[owner];
      const Item& item = *cursor.next;
      out.push_back(item.entry);
      served[owner] += item.counted ? 0 : item.entry.work;
      if (++cursor.next != cursor.items->end()) turns.emplace(served[owner], ++arrivals, owner);
    }
  }
  return out;
}

}  // namespace tintype

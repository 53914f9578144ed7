/// Values kept under a budget of bytes; the least recently used go first. One template for whatever
/// is costly to make again: prompt embeddings, encoded pictures, adapter files.
/// Thread-safety: guarded by one mutex, which is never held while a value is made.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>

#include "tintype/cache_counters.h"

namespace tintype {

/// Values are const and shared: one that is evicted while a request uses it lives until the request
/// is done.
template <typename Key, typename Value, typename Hash = std::hash<Key>>
class LruCache {
 public:
  using Handle = std::shared_ptr<const Value>;

  /// A budget of 0 keeps nothing.
  LruCache(std::string name, uint64_t budget_bytes) {
    counters_.name = std::move(name);
    counters_.budget_bytes = budget_bytes;
  }

  /// The value of `key`, now the most recently used; null when there is none. Counts.
  Handle find(const Key& key) {
    const std::lock_guard lock(mutex_);
    const auto found = index_.find(&key);
    if (found == index_.end()) {
      ++counters_.misses;
      return nullptr;
    }
    ++counters_.hits;
    entries_.splice(entries_.begin(), entries_, found->second);
    return found->second->value;
  }

  /// Keeps `value`, which takes `bytes`, and gives up what no longer fits beside it. Where another
  /// thread was first, its value stays and is returned. One larger than the budget is not kept.
  Handle insert(Key key, Value value, uint64_t bytes) {
    Handle handle = std::make_shared<const Value>(std::move(value));
    std::list<Entry> given_up;  // destroyed after the lock: a value may be large
    const std::lock_guard lock(mutex_);
    if (const auto found = index_.find(&key); found != index_.end()) return found->second->value;
    if (bytes > counters_.budget_bytes) {
      ++counters_.evictions;
      return handle;
    }
    entries_.push_front({std::move(key), handle, bytes});
    index_.emplace(&entries_.front().key, entries_.begin());
    counters_.bytes += bytes;
    while (counters_.bytes > counters_.budget_bytes) {
      const auto last = std::prev(entries_.end());
      remove(last, given_up);
      ++counters_.evictions;
    }
    return handle;
  }

  /// find(), else insert() of what make() returns: a pair of value and bytes. Two threads that miss
  /// at once both make it.
  template <typename Make>
  Handle find_or_make(Key key, const Make& make) {
    if (Handle found = find(key)) return found;
    std::pair<Value, uint64_t> made = make();
    return insert(std::move(key), std::move(made.first), made.second);
  }

  /// Forgets one entry, or all; handles in use stay valid. Not counted as evictions.
  void erase(const Key& key) {
    std::list<Entry> given_up;
    const std::lock_guard lock(mutex_);
    if (const auto found = index_.find(&key); found != index_.end())
      remove(found->second, given_up);
  }
  void clear() {
    std::list<Entry> given_up;
    const std::lock_guard lock(mutex_);
    while (!entries_.empty()) remove(entries_.begin(), given_up);
  }

  CacheCounters counters() const {
    const std::lock_guard lock(mutex_);
    CacheCounters now = counters_;
    now.entries = entries_.size();
    return now;
  }

 private:
  struct Entry {
    Key key;
    Handle value;
    uint64_t bytes;
  };

  // A key may be as large as a picture: the index refers to the entry's own.
  struct HashOfKey {
    size_t operator()(const Key* key) const { return Hash()(*key); }
  };
  struct SameKey {
    bool operator()(const Key* a, const Key* b) const { return *a == *b; }
  };

  void remove(typename std::list<Entry>::iterator entry, std::list<Entry>& given_up) {
    counters_.bytes -= entry->bytes;
    index_.erase(&entry->key);
    given_up.splice(given_up.begin(), entries_, entry);
  }

  mutable std::mutex mutex_;
  std::list<Entry> entries_;  ///< most recently used first
  std::unordered_map<const Key*, typename std::list<Entry>::iterator, HashOfKey, SameKey> index_;
  CacheCounters counters_;
};

}  // namespace tintype

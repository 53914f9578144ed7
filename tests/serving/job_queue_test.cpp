#include "serving/job_queue.h"

#include <gtest/gtest.h>

#include <map>

namespace tintype {
namespace {

class JobQueueTest : public ::testing::Test {
 protected:
  JobId add(const std::string& name, const std::string& owner, int priority = 0, double work = 1,
            bool front = false) {
    const JobId id = JobId::make();
    names_[id] = name;
    const JobQueue::Entry entry{id, owner, priority, work};
    front ? queue_.push_front(entry) : queue_.push_back(entry);
    return id;
  }
  /// Names in the order of beginning; checks that the prediction said so.
  std::string drain() {
    std::string predicted, out;
    for (const JobQueue::Entry& entry : queue_.order()) predicted += names_[entry.id];
    while (const std::optional<JobId> id = queue_.front()) {
      out += names_[*id];
      queue_.pop_front();
    }
    EXPECT_EQ(predicted, out);
    return out;
  }

  JobQueue queue_;
  std::map<JobId, std::string> names_;
};

TEST_F(JobQueueTest, TakesOneOwnersJobsInOrder) {
  add("a", "x");
  add("b", "x");
  add("c", "x");
  EXPECT_EQ(drain(), "abc");
  EXPECT_EQ(queue_.size(), 0u);
}

TEST_F(JobQueueTest, TakesTheHigherPriorityFirst) {
  add("a", "x", 0);
  add("b", "x", -5);
  add("c", "y", 3);
  EXPECT_EQ(queue_.size_from_priority(0), 2u);
  EXPECT_EQ(drain(), "cab");
}

TEST_F(JobQueueTest, OwnersTakeTurnsHoweverManyJobsOneHas) {
  for (const char* name : {"a", "b", "c", "d"}) add(name, "x");
  add("1", "y");
  add("2", "y");
  EXPECT_EQ(drain(), "a1b2cd");
}

TEST_F(JobQueueTest, TurnsAreWeightedByWork) {
  for (const char* name : {"a", "b"}) add(name, "x", 0, 3);
  for (const char* name : {"1", "2", "3", "4", "5"}) add(name, "y", 0, 1);
  // x's first costs three of y's.
  EXPECT_EQ(drain(), "a123b45");
}

TEST_F(JobQueueTest, WhoStaysAwaySavesUpNoTurns) {
  for (int i = 0; i < 10; ++i) add("a", "x");
  for (int i = 0; i < 5; ++i) queue_.pop_front();
  add("1", "y");
  add("2", "y");
  add("3", "y");
  const std::string order = drain();
  EXPECT_EQ(order.find("111"), std::string::npos);
  EXPECT_LE(order.find("1"), 1u);
  EXPECT_LE(order.find("2"), 3u) << order;
}

TEST_F(JobQueueTest, AJobThatBeganGoesBackToTheHeadOfItsOwnersLine) {
  const JobId first = add("a", "x");
  add("b", "x");
  add("1", "y");
  queue_.pop_front();
  names_[first] = "a";
  queue_.push_front({first, "x", 0, 1});
  EXPECT_EQ(drain(), "1ab");
}

TEST_F(JobQueueTest, RemovesFromAnywhere) {
  add("a", "x");
  const JobId middle = add("b", "x");
  add("c", "x");
  const JobId only = add("1", "y", 4);
  EXPECT_TRUE(queue_.remove(middle));
  EXPECT_TRUE(queue_.remove(only));
  EXPECT_FALSE(queue_.remove(only));
  EXPECT_EQ(queue_.size_of_owner("y"), 0u);
  EXPECT_EQ(queue_.size_of_owner("x"), 2u);
  EXPECT_EQ(drain(), "ac");
}

}  // namespace
}  // namespace tintype

/// A backend that computes nothing and owns no memory: tensors have shapes, and its allocator
/// counts the bytes they would take. Running a model on it tells the memory of a real run in
/// milliseconds, from the same code that will run. Contents are never read; copying to the host
/// yields zeros. Thread-safe; counts belong to the calling thread, so that two predictions do not
/// mix.
#pragma once

#include "backend/backend.h"

namespace tintype {

const Backend& meta_backend();

/// Bytes that meta tensors of this thread gained since construction, now and at most. Signed
/// underneath, so a model freed on another thread than it was loaded on confuses no later count.
class MetaMemory {
 public:
  MetaMemory();
  uint64_t live_bytes() const;
  uint64_t peak_bytes() const;

 private:
  int64_t start_;
};

}  // namespace tintype

#include "base/file_handle.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "base/check.h"
#include "base/text.h"

namespace tintype {

namespace {

[[noreturn]] void fail_with_errno(const std::filesystem::path& path, std::string_view action) {
  const int code = errno;
  const bool absent = code == ENOENT || code == ENOTDIR || code == ENAMETOOLONG;
  fail(absent ? ErrorKind::kNotFound : ErrorKind::kIo, printable(path.string()), "must be ", action,
       ", got: ", std::generic_category().message(code));
}

struct stat status_of(int descriptor, const std::filesystem::path& path) {
  struct stat status {};
  if (::fstat(descriptor, &status) != 0) fail_with_errno(path, "readable");
  return status;
}

}  // namespace

FileHandle::FileHandle(const std::filesystem::path& path) : path_(path) {
  // O_NONBLOCK: opening a pipe must not wait for a writer. It has no effect on regular files.
  descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor_ < 0) fail_with_errno(path, "an existing, readable file");
  try {
    const struct stat status = status_of(descriptor_, path);
    if (!S_ISREG(status.st_mode)) {
      fail(ErrorKind::kCorruptFile, printable(path.string()), "must be a regular file, got ",
           S_ISDIR(status.st_mode) ? "a folder" : "a pipe or device");
    }
  } catch (...) {
    ::close(std::exchange(descriptor_, -1));  // the destructor does not run after a throw here
    throw;
  }
}

FileHandle::~FileHandle() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

FileHandle::FileHandle(FileHandle&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

FileHandle& FileHandle::operator=(FileHandle&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

uint64_t FileHandle::size() const {
  return static_cast<uint64_t>(status_of(descriptor_, path_).st_size);
}

size_t FileHandle::read_at(uint64_t offset, std::span<std::byte> out) const {
  size_t done = 0;
  while (done < out.size()) {
    const ssize_t got = ::pread(descriptor_, out.data() + done, out.size() - done,
                                static_cast<off_t>(offset + done));
    if (got == 0) break;
    if (got < 0 && errno != EINTR) fail_with_errno(path_, "readable");
    if (got > 0) done += static_cast<size_t>(got);
  }
  return done;
}

}  // namespace tintype

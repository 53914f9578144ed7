#include "base/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <random>
#include <string>
#include <system_error>
#include <utility>

#include "base/check.h"
#include "base/text.h"

namespace tintype {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kWhere = "output";

std::string quoted(const fs::path& path) { return cat('"', printable(path.string()), '"'); }

[[noreturn]] void fail_io(const fs::path& path, std::string_view expectation, int error) {
  fail(ErrorKind::kIo, kWhere, quoted(path), " ", expectation,
       ", got: ", std::generic_category().message(error));
}

/// Owns a descriptor. Single-thread.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  int get() const { return fd_; }
  /// Returns 0 or errno: on network file systems a failed write shows up only here.
  int close() { return ::close(std::exchange(fd_, -1)) == 0 ? 0 : errno; }

 private:
  int fd_;
};

fs::path folder_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

/// Where the bytes go: `path`, or what it points to when it is a link to something that exists.
fs::path resolve_link(const fs::path& path) {
  std::error_code error;
  if (!fs::is_symlink(fs::symlink_status(path, error))) return path;
  const fs::path target = fs::canonical(path, error);
  return error ? path : target;
}

}  // namespace

void require_replaceable(const fs::path& path) {
  TT_REQUIRE(!path.empty() && path.native().find('\0') == std::string::npos, kWhere,
             "must name a file, got ", quoted(path));
  const fs::path target = resolve_link(path);
  const fs::path folder = folder_of(target);
  struct stat status {};
  if (::stat(folder.c_str(), &status) != 0) fail_io(folder, "must be an existing folder", errno);
  if (!S_ISDIR(status.st_mode)) fail_io(folder, "must be a folder", ENOTDIR);
  if (::faccessat(AT_FDCWD, folder.c_str(), W_OK | X_OK, AT_EACCESS) != 0)
    fail_io(folder, "must be a folder that takes new files", errno);
  if (::stat(target.c_str(), &status) != 0) {
    if (errno == ENOENT && target.has_filename()) return;  // a new file
    fail_io(target, "must name a file", errno == ENOENT ? EISDIR : errno);
  }
  if (S_ISDIR(status.st_mode)) fail_io(target, "must name a file", EISDIR);
  // Renaming over a device would replace it, e.g. /dev/null for the superuser.
  if (!S_ISREG(status.st_mode))
    fail(ErrorKind::kIo, kWhere, quoted(target), " must be a regular file, got a device or pipe");
  if (::faccessat(AT_FDCWD, target.c_str(), W_OK, AT_EACCESS) != 0)
    fail_io(target, "must be writable", errno);
}

/// A uniquely named file in `folder` that is removed unless it was renamed. Single-thread.
class ReplacedFile::Temporary {
 public:
  explicit Temporary(const fs::path& folder) : path_(unique_path(folder)), file_(create()) {}
  ~Temporary() {
    if (!renamed_) ::unlink(path_.c_str());
  }
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;

  void write_at(uint64_t offset, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t written =
          ::pwrite(file_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) fail_io(path_, "must take the whole file", errno);
      offset += static_cast<uint64_t>(written);
      bytes = bytes.subspan(static_cast<size_t>(written));
    }
  }

  void set_mode(mode_t mode) {
    if (::fchmod(file_.get(), mode) != 0) fail_io(path_, "must take its permissions", errno);
  }

  void rename_to(const fs::path& target) {
    // EINVAL and EROFS: this kind of file system cannot sync a file, which is no fault of ours.
    if (::fsync(file_.get()) != 0 && errno != EINVAL && errno != EROFS)
      fail_io(path_, "must reach the disk", errno);
    if (const int error = file_.close()) fail_io(path_, "must reach the disk", error);
    if (::rename(path_.c_str(), target.c_str()) != 0) fail_io(target, "must be replaceable", errno);
    renamed_ = true;
  }

 private:
  // The name does not contain the target's: that one may already be as long as names can be.
  static fs::path unique_path(const fs::path& folder) {
    std::random_device random;
    std::string name = ".tintype-";
    for (int i = 0; i < 24; ++i) name += "0123456789abcdef"[random() % 16];
    return folder / (name + ".part");
  }

  int create() const {
    const int fd = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) fail_io(path_.parent_path(), "must be a folder that takes new files", errno);
    return fd;
  }

  fs::path path_;
  Descriptor file_;
  bool renamed_ = false;
};

ReplacedFile::ReplacedFile(const fs::path& path) {
  require_replaceable(path);
  target_ = resolve_link(path);
  file_ = std::make_unique<Temporary>(folder_of(target_));
  struct stat status {};
  if (::stat(target_.c_str(), &status) == 0) file_->set_mode(status.st_mode & 0777);
}

ReplacedFile::~ReplacedFile() = default;

void ReplacedFile::write(std::span<const std::byte> bytes) {
  file_->write_at(size_, bytes);
  size_ += bytes.size();
}

void ReplacedFile::overwrite(uint64_t offset, std::span<const std::byte> bytes) {
  file_->write_at(offset, bytes);
}

void ReplacedFile::commit() {
  file_->rename_to(target_);
  // Makes the rename itself durable; the file is complete either way, so a refusal is no error.
  const Descriptor folder(::open(folder_of(target_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.get() >= 0) ::fsync(folder.get());
}

void write_file_atomically(const fs::path& path, std::span<const uint8_t> bytes) {
  ReplacedFile file(path);
  file.write(std::as_bytes(bytes));
  file.commit();
}

}  // namespace tintype

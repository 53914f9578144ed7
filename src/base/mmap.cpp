#include "base/mmap.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <limits>
#include <system_error>
#include <utility>

#include "base/check.h"
#include "base/text.h"

namespace tintype {

MappedFile::MappedFile(const std::filesystem::path& path, Use use) : file_(path) {
  const std::string where = printable(path.string());
  const uint64_t size = file_.size();
  if (size == 0) fail(ErrorKind::kCorruptFile, where, "must hold data, got an empty file");
  if (size > std::numeric_limits<size_t>::max() / 2) {
    fail(ErrorKind::kUnsupported, where, "must fit in the address space, got ", size, " bytes");
  }
  size_ = static_cast<size_t>(size);
  void* address = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file_.descriptor(), 0);
  if (address == MAP_FAILED) {
    fail(errno == ENOMEM ? ErrorKind::kOutOfMemory : ErrorKind::kIo, where, "must be mappable (",
         size_, " bytes), got: ", std::generic_category().message(errno));
  }
  data_ = static_cast<const std::byte*>(address);
  // Read ahead far; what is read once may then be dropped first, what stays in use may not. Advice
  // only, so a refusal is no error.
  (void)::madvise(address, size_, use == Use::kOnce ? MADV_SEQUENTIAL : MADV_WILLNEED);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : file_(std::move(other.file_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(file_, other.file_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

void MappedFile::require_unchanged() const {
  const uint64_t now = file_.size();
  if (now < size_) {
    fail(ErrorKind::kIo, printable(path().string()), "must stay ", size_,
         " bytes long while it is read, got ", now, "; another program is rewriting it");
  }
}

void MappedFile::release(std::span<const std::byte> range) const noexcept {
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  const std::byte* const map_end = data_ + size_;
  if (range.data() < data_ || range.data() > map_end ||
      range.size() > static_cast<size_t>(map_end - range.data())) {
    return;
  }
  const auto begin = static_cast<size_t>(range.data() - data_);
  const size_t end = begin + range.size();
  const size_t first = (begin + page - 1) / page * page;
  // The last page of the file belongs to us alone although the file ends inside it.
  const size_t last = end == size_ ? end : end / page * page;
  if (first >= last) return;
  (void)::madvise(const_cast<std::byte*>(data_ + first), last - first, MADV_DONTNEED);
}

}  // namespace tintype

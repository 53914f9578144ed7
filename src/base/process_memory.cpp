#include "base/process_memory.h"

#include <unistd.h>

#include <cstdio>

namespace tintype {

namespace {

/// A line of /proc/self/status in kilobytes, as bytes.
uint64_t status_bytes(const char* format) {
  std::FILE* status = std::fopen("/proc/self/status", "re");
  if (!status) return 0;
  char line[256];
  unsigned long long kilobytes = 0;
  while (std::fgets(line, sizeof line, status))
    if (std::sscanf(line, format, &kilobytes) == 1) break;
  std::fclose(status);
  return kilobytes * 1024;
}

}  // namespace

// VmHWM, not ru_maxrss: the latter is inherited over exec, so a small child of a large parent would
// report the parent's.
uint64_t peak_resident_bytes() { return status_bytes("VmHWM: %llu"); }

uint64_t resident_bytes() { return status_bytes("VmRSS: %llu"); }

uint64_t physical_memory_bytes() {
  const long pages = ::sysconf(_SC_PHYS_PAGES), size = ::sysconf(_SC_PAGE_SIZE);
  return pages > 0 && size > 0 ? static_cast<uint64_t>(pages) * static_cast<uint64_t>(size) : 0;
}

}  // namespace tintype

#include "base/process_memory.h"

#include <cstdio>

namespace tintype {

uint64_t peak_resident_bytes() {
  // VmHWM, not ru_maxrss: the latter is inherited over exec, so a small child of a large parent
  // would report the parent's.
  std::FILE* status = std::fopen("/proc/self/status", "re");
  if (!status) return 0;
  char line[256];
  unsigned long long kilobytes = 0;
  while (std::fgets(line, sizeof line, status))
    if (std::sscanf(line, "VmHWM: %llu", &kilobytes) == 1) break;
  std::fclose(status);
  return kilobytes * 1024;
}

}  // namespace tintype

#include "cli/json_output.h"

#include <cerrno>
#include <cstdio>
#include <string>
#include <system_error>

namespace tintype::cli {

void print_line(std::string_view text) {
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size() &&
                       std::fputc('\n', stdout) != EOF && std::fflush(stdout) == 0;
  if (!written)
    throw Error(ErrorKind::kIo, "stdout",
                "must take the result, got: " + std::generic_category().message(errno));
}

void print_json(const OrderedJson& object) {
  print_line(object.dump(-1, ' ', false, OrderedJson::error_handler_t::replace));
}

OrderedJson error_json(ErrorKind kind, std::string_view message) {
  OrderedJson object;
  object["error"]["kind"] = to_string(kind);
  object["error"]["message"] = message;
  return object;
}

OrderedJson cache_json(const CacheCounters& cache) {
  OrderedJson object;
  object["hits"] = cache.hits;
  object["misses"] = cache.misses;
  object["evictions"] = cache.evictions;
  object["entries"] = cache.entries;
  object["bytes"] = cache.bytes;
  object["budget_bytes"] = cache.budget_bytes;
  return object;
}

}  // namespace tintype::cli

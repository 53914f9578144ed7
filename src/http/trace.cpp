#include "http/trace.h"

#include <cstdint>
#include <cstdio>
#include <random>

namespace tintype::http {
namespace {

/// Ids must differ, not be secret: one generator a thread, seeded by the system.
uint64_t random_bits() {
  thread_local std::mt19937_64 generator = [] {
    std::random_device device;
    std::seed_seq seed{device(), device(), device(), device()};
    return std::mt19937_64(seed);
  }();
  for (;;)
    if (const uint64_t bits = generator()) return bits;
}

std::string hex64(uint64_t bits) {
  char text[17];
  std::snprintf(text, sizeof(text), "%016llx", static_cast<unsigned long long>(bits));
  return text;
}

bool is_hex(std::string_view text) {
  return text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

bool is_zero(std::string_view text) {
  return text.find_first_not_of('0') == std::string_view::npos;
}

}  // namespace

std::string Trace::header() const {
  return "00-" + trace_id + "-" + span_id + (sampled ? "-01" : "-00");
}

Trace make_trace(std::string_view traceparent) {
  Trace trace;
  trace.span_id = hex64(random_bits());
  // version 2, trace id 32, parent id 16, flags 2 digits; later versions may append more.
  const bool long_enough = traceparent.size() >= 55;
  const std::string_view version = traceparent.substr(0, 2);
  const bool well_formed =
      long_enough && is_hex(version) && version != "ff" && traceparent[2] == '-' &&
      traceparent[35] == '-' && traceparent[52] == '-' &&
      (traceparent.size() == 55 || (version != "00" && traceparent[55] == '-')) &&
      is_hex(traceparent.substr(3, 32)) && is_hex(traceparent.substr(36, 16)) &&
      is_hex(traceparent.substr(53, 2)) && !is_zero(traceparent.substr(3, 32)) &&
      !is_zero(traceparent.substr(36, 16));
  if (well_formed) {
    trace.trace_id = traceparent.substr(3, 32);
    trace.sampled = std::string_view("13579bdf").find(traceparent[54]) != std::string_view::npos;
  } else {
    trace.trace_id = hex64(random_bits()) + hex64(random_bits());
  }
  return trace;
}

}  // namespace tintype::http

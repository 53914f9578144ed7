#include "backend/registry.h"

#include <array>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/machine_peak.h"
#include "backend/meta/meta_backend.h"
#include "backend/reference/reference_backend.h"
#include "base/text.h"

namespace tintype {

PackedParts Backend::parts(const PackedWeight&) const {
  fail(ErrorKind::kUnsupported, "pack", "must be for a device with a packed form, ", device(),
       " has none");
}

std::unique_ptr<PackedWeight> Backend::adopt(const PackedParts& parts) const {
  fail(ErrorKind::kUnsupported, printable(parts.name, 120), "is packed as ",
       printable(parts.layout, 80), ", device ", device(), " needs weights that are not packed");
}
namespace {

constexpr std::array kDevices = {Device::kCpu, Device::kReference};

}  // namespace

std::string_view to_string(Activation activation) {
  switch (activation) {
    case Activation::kNone:
      return "none";
    case Activation::kSilu:
      return "silu";
    case Activation::kGelu:
      return "gelu";
    case Activation::kQuickGelu:
      return "quick_gelu";
    case Activation::kLeakyRelu:
      return "leaky_relu";
  }
  return "?";
}

const Backend& backend_for(Device device) {
  switch (device) {
    case Device::kCpu:
      return cpu_backend();
    case Device::kReference:
      return reference_backend();
    case Device::kMeta:
      return meta_backend();
  }
  fail(ErrorKind::kUnsupported, "backend", "this build has no backend for device ", device);
}

std::span<const Device> available_devices() { return kDevices; }

Device parse_device(std::string_view name) {
  std::string known;
  for (const Device device : kDevices) {
    if (name == to_string(device)) return device;
    known += cat(known.empty() ? "" : ", ", to_string(device));
  }
  fail(ErrorKind::kInvalidArgument, "device", "must be one of ", known, ", got \"", printable(name),
       "\"");
}

MachineSpeed measure_machine(int threads) {
  cpu_backend();  // its first use chooses the instruction set
  return cpu::measure_machine(threads);
}

}  // namespace tintype

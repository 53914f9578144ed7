#include "cli/bench_report.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <vector>

namespace tintype::cli {
namespace {

using Row = std::vector<std::string>;

/// Columns padded to their widest cell; the first `left` to the left, the others to the right.
std::string table(const std::vector<Row>& rows, size_t left) {
  std::vector<size_t> width(rows.front().size());
  for (const Row& row : rows)
    for (size_t i = 0; i < row.size(); ++i) width[i] = std::max(width[i], row[i].size());
  std::string out;
  for (const Row& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string padding(width[i] - row[i].size(), ' ');
      line += (i ? "  " : "") + (i < left ? row[i] + padding : padding + row[i]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

std::string number(double value, int decimals) {
  char text[64];
  std::snprintf(text, sizeof(text), "%.*f", decimals, value);
  return text;
}

std::string percent(double share) { return number(100 * share, share < 0.0995 ? 1 : 0) + " %"; }
std::string giga(double value) { return number(value / 1e9, value < 9.95e9 ? 2 : 1); }

/// 0 where `amount` has no rate to be a share of.
double share_of(double amount, double seconds, double rate) {
  return seconds > 0 && rate > 0 ? amount / seconds / rate : 0;
}

double peak_of(const OpTime& op, const MachineSpeed& machine) {
  const ArithmeticPeak* peak = machine.peak(op.arithmetic);
  return peak ? peak->operations_per_s : 0;
}

/// All products of one arithmetic.
struct ArithmeticTotal {
  double operations = 0, seconds = 0, peak = 0;
  double least_seconds() const { return peak > 0 ? operations / peak : 0; }
};

struct Totals {
  double op_seconds = 0, operations = 0, bytes = 0;
  int64_t calls = 0;
  std::map<std::string, ArithmeticTotal> arithmetic;
  /// All products at the peak of their arithmetic.
  double least_seconds() const {
    double sum = 0;
    for (const auto& [name, total] : arithmetic) sum += total.least_seconds();
    return sum;
  }
};

Totals total(const PartTimes& times, const MachineSpeed& machine) {
  Totals sum;
  for (const OpTime& op : times.ops) {
    sum.op_seconds += op.seconds;
    sum.operations += op.operations;
    sum.bytes += op.bytes;
    sum.calls += op.calls;
    if (op.arithmetic.empty()) continue;
    ArithmeticTotal& entry = sum.arithmetic[op.arithmetic];
    entry.operations += op.operations;
    entry.seconds += op.seconds;
    entry.peak = peak_of(op, machine);
  }
  return sum;
}

}  // namespace

std::string machine_text(const MachineSpeed& machine) {
  const std::string all = std::to_string(machine.threads) + " threads";
  std::vector<Row> rows = {{"arithmetic", "instruction", all, "one thread", ""}};
  for (const ArithmeticPeak& peak : machine.peaks) {
    if (peak.operations_per_s > 0)
      rows.push_back({peak.arithmetic, peak.instruction, giga(peak.operations_per_s),
                      giga(peak.one_thread_operations_per_s), "G operations/s"});
    else
      rows.push_back({peak.arithmetic, "no unit in use", "-", "-", ""});
  }
  rows.push_back({"read", "from memory", giga(machine.read_bytes_per_s),
                  giga(machine.one_thread_read_bytes_per_s), "GB/s"});
  std::string text = table(rows, 2);
  text.pop_back();
  return text;
}

OrderedJson machine_json(const MachineSpeed& machine) {
  OrderedJson object;
  object["threads"] = machine.threads;
  object["peaks"] = OrderedJson::object();
  for (const ArithmeticPeak& peak : machine.peaks) {
    OrderedJson& entry = object["peaks"][peak.arithmetic];
    if (peak.operations_per_s <= 0) continue;  // null
    entry["instruction"] = peak.instruction;
    entry["operations_per_s"] = peak.operations_per_s;
    entry["one_thread_operations_per_s"] = peak.one_thread_operations_per_s;
  }
  object["read_bytes_per_s"] = machine.read_bytes_per_s;
  object["one_thread_read_bytes_per_s"] = machine.one_thread_read_bytes_per_s;
  return object;
}

std::string part_text(const PartTimes& times, const MachineSpeed& machine) {
  const Totals sum = total(times, machine);
  std::vector<Row> rows = {{"op", "arithmetic", "calls", "ms", "of time", "G operations", "of peak",
                            "MB", "of bandwidth"}};
  for (const OpTime& op : times.ops) {
    const double peak = peak_of(op, machine);
    rows.push_back(
        {op.shape.empty() ? op.op : op.op + "  " + op.shape, op.arithmetic,
         std::to_string(op.calls), number(1e3 * op.seconds, 1), percent(op.seconds / times.seconds),
         op.operations > 0 ? number(op.operations / 1e9, 1) : "",
         op.operations > 0 && peak > 0 ? percent(share_of(op.operations, op.seconds, peak)) : "",
         number(op.bytes / 1e6, 1),
         percent(share_of(op.bytes, op.seconds, machine.read_bytes_per_s))});
  }
  const double between = std::max(times.seconds - sum.op_seconds, 0.0);
  rows.push_back({"between ops", "", "", number(1e3 * between, 1), percent(between / times.seconds),
                  "", "", "", ""});
  rows.push_back({"all", "", std::to_string(sum.calls), number(1e3 * times.seconds, 1), "",
                  number(sum.operations / 1e9, 1), percent(sum.least_seconds() / times.seconds),
                  number(sum.bytes / 1e6, 1),
                  percent(share_of(sum.bytes, times.seconds, machine.read_bytes_per_s))});
  const auto [least, most] =
      std::minmax_element(times.all_seconds.begin(), times.all_seconds.end());
  std::string text = times.part + ": " + std::to_string(times.rows) +
                     (times.rows == 1 ? " row" : " rows") + " of " +
                     std::to_string(times.width_px) + " x " + std::to_string(times.height_px) +
                     ", " + number(times.seconds, 3) + " s (" + number(*least, 3) + " to " +
                     number(*most, 3) + " in " + std::to_string(times.all_seconds.size()) +
                     " passes), " + std::to_string(machine.threads) + " threads\n" + table(rows, 2);
  for (const auto& [name, entry] : sum.arithmetic) {
    if (entry.peak <= 0) continue;
    text += name + ": " + number(entry.operations / 1e9, 1) + " G operations in " +
            number(entry.seconds, 3) + " s, " +
            percent(entry.least_seconds() / std::max(entry.seconds, 1e-12)) + " of the peak of " +
            giga(entry.peak) + " G/s\n";
  }
  return text + "all products at the peaks of their arithmetic: " + number(sum.least_seconds(), 3) +
         " s";
}

OrderedJson part_json(const PartTimes& times, const MachineSpeed& machine) {
  const Totals sum = total(times, machine);
  OrderedJson object;
  object["part"] = times.part;
  object["rows"] = times.rows;
  object["width_px"] = times.width_px;
  object["height_px"] = times.height_px;
  object["seconds"] = times.seconds;
  object["all_seconds"] = times.all_seconds;
  object["op_seconds"] = sum.op_seconds;
  object["operations"] = sum.operations;
  object["bytes"] = sum.bytes;
  object["seconds_at_peak"] = sum.least_seconds();
  object["share_of_peak"] = sum.least_seconds() / times.seconds;
  object["arithmetic"] = OrderedJson::object();
  for (const auto& [name, entry] : sum.arithmetic) {
    OrderedJson& out = object["arithmetic"][name];
    out["operations"] = entry.operations;
    out["seconds"] = entry.seconds;
    out["share_of_peak"] = share_of(entry.operations, entry.seconds, entry.peak);
  }
  object["ops"] = OrderedJson::array();
  for (const OpTime& op : times.ops) {
    OrderedJson entry;
    entry["op"] = op.op;
    if (!op.shape.empty()) entry["shape"] = op.shape;
    entry["arithmetic"] = op.arithmetic;
    entry["calls"] = op.calls;
    entry["seconds"] = op.seconds;
    entry["operations"] = op.operations;
    entry["bytes"] = op.bytes;
    entry["share_of_peak"] = share_of(op.operations, op.seconds, peak_of(op, machine));
    entry["share_of_bandwidth"] = share_of(op.bytes, op.seconds, machine.read_bytes_per_s);
    object["ops"].push_back(entry);
  }
  object["machine"] = machine_json(machine);
  return object;
}

}  // namespace tintype::cli

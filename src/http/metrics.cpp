#include "http/metrics.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <span>
#include <vector>

#include "base/process_memory.h"

namespace tintype::http {
namespace {

using Labels = std::vector<std::pair<std::string_view, std::string>>;

std::string number(double value) {
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  if (std::isnan(value)) return "NaN";
  char text[32];
  std::snprintf(text, sizeof(text), "%.15g", value);
  return text;
}

class Writer {
 public:
  void begin(const char* name, const char* type, const char* help) {
    name_ = name;
    out_.append("# HELP tintype_").append(name).append(" ").append(help);
    out_.append("\n# TYPE tintype_").append(name).append(" ").append(type).append("\n");
  }
  void value(double value, const Labels& labels = {}, const char* suffix = "") {
    out_.append("tintype_").append(name_).append(suffix);
    if (!labels.empty()) {
      out_ += '{';
      for (size_t i = 0; i < labels.size(); ++i) {
        if (i > 0) out_ += ',';
        out_.append(labels[i].first).append("=\"").append(escaped(labels[i].second)).append("\"");
      }
      out_ += '}';
    }
    out_.append(" ").append(number(value)).append("\n");
  }
  void one(const char* name, const char* type, const char* help, double only) {
    begin(name, type, help);
    value(only);
  }
  /// `counts` are of each bucket alone; the last has no bound.
  void histogram(std::span<const double> bounds, std::span<const uint64_t> counts, double sum,
                 const Labels& labels = {}) {
    uint64_t below = 0;
    for (size_t i = 0; i < counts.size(); ++i) {
      below += counts[i];
      Labels with_bound = labels;
      with_bound.emplace_back("le", i < bounds.size() ? number(bounds[i]) : "+Inf");
      value(static_cast<double>(below), with_bound, "_bucket");
    }
    value(sum, labels, "_sum");
    value(static_cast<double>(below), labels, "_count");
  }
  std::string take() { return std::move(out_); }

 private:
  static std::string escaped(const std::string& text) {
    std::string out;
    for (const char c : text) {
      if (c == '\\' || c == '"') out += '\\';
      if (c == '\n')
        out += "\\n";
      else
        out += c;
    }
    return out;
  }
  std::string out_, name_;
};

/// The runtime counts at or below each bound; each bucket alone is the difference.
std::vector<uint64_t> alone(const Histogram& histogram) {
  std::vector<uint64_t> out(histogram.counts);
  for (size_t i = out.size(); i-- > 1;) out[i] -= std::min(out[i], out[i - 1]);
  return out;
}

void write_jobs(Writer& out, const RuntimeStats& stats) {
  out.begin("jobs", "gauge", "Live jobs by state.");
  out.value(static_cast<double>(stats.queued), {{"state", "queued"}});
  out.value(static_cast<double>(stats.running), {{"state", "running"}});
  out.one("queue_limit", "gauge", "Jobs that the queue takes.",
          static_cast<double>(stats.max_queued));
  out.one("jobs_submitted_total", "counter", "Jobs accepted.",
          static_cast<double>(stats.submitted));
  out.one("jobs_rejected_total", "counter", "Submissions refused because a queue was full.",
          static_cast<double>(stats.rejected));
  out.begin("jobs_finished_total", "counter", "Jobs that ended, by final state.");
  for (const auto& [state, count] : stats.finished)
    out.value(static_cast<double>(count), {{"state", std::string(to_string(state))}});
  out.one("job_retries_total", "counter", "Runs begun again after a worker was lost.",
          static_cast<double>(stats.retries));
  out.one("result_bytes", "gauge", "Results on disk.", static_cast<double>(stats.result_bytes));
  out.begin("job_wait_seconds", "histogram", "From acceptance to the first run.");
  out.histogram(stats.wait_s.bounds, alone(stats.wait_s), stats.wait_s.sum);
  out.begin("job_run_seconds", "histogram", "From the first run to the end.");
  out.histogram(stats.run_s.bounds, alone(stats.run_s), stats.run_s.sum);
  out.begin("stage_seconds", "histogram", "Time in each stage of a run.");
  for (const auto& [stage, times] : stats.stage_s)
    out.histogram(times.bounds, alone(times), times.sum, {{"stage", stage}});
}

void write_workers(Writer& out, const RuntimeStats& stats) {
  const auto each = [&](const char* name, const char* type, const char* help, auto value) {
    out.begin(name, type, help);
    for (const WorkerStatus& worker : stats.workers)
      out.value(static_cast<double>(value(worker)),
                {{"worker", worker.name}, {"device", worker.device}});
  };
  each("worker_up", "gauge", "1 while the worker lives.",
       [](const WorkerStatus& worker) { return worker.alive ? 1 : 0; });
  each("worker_jobs", "gauge", "Jobs that the worker runs.",
       [](const WorkerStatus& worker) { return worker.running; });
  each("worker_capacity", "gauge", "Jobs that the worker takes at once.",
       [](const WorkerStatus& worker) { return worker.capacity; });
  each("worker_restarts_total", "counter", "Times the worker was started again.",
       [](const WorkerStatus& worker) { return worker.restarts; });
  each("worker_jobs_done_total", "counter", "Jobs that the worker ended.",
       [](const WorkerStatus& worker) { return worker.jobs_done; });
  each("worker_resident_bytes", "gauge", "Memory of the worker's process.",
       [](const WorkerStatus& worker) { return worker.resident_bytes; });
  out.begin("worker_model_loaded", "gauge", "1 for each model in a worker's memory.");
  for (const WorkerStatus& worker : stats.workers)
    for (const std::string& model : worker.models)
      out.value(1, {{"worker", worker.name}, {"model", model}});
  out.begin("worker_counter", "gauge", "Caches and other counters as each worker tells them.");
  for (const WorkerStatus& worker : stats.workers)
    for (const auto& [name, count] : worker.counters)
      out.value(count, {{"worker", worker.name}, {"name", name}});
}

void write_http(Writer& out, const HttpMetrics& http) {
  const HttpMetrics::Totals totals = http.totals();
  out.begin("http_requests_total", "counter", "Requests by method, route and status.");
  for (const auto& [key, count] : totals.requests)
    out.value(static_cast<double>(count), {{"method", std::get<0>(key)},
                                           {"route", std::get<1>(key)},
                                           {"status", std::to_string(std::get<2>(key))}});
  out.begin("http_request_seconds", "histogram",
            "From a request's head to the end of its answer; of event streams to their begin.");
  for (const auto& [route, times] : totals.durations)
    out.histogram(HttpMetrics::kBounds, times.buckets, times.sum, {{"route", route}});
  out.one("http_connections", "gauge", "Open connections.",
          static_cast<double>(http.connections.load()));
  out.one("http_event_streams", "gauge", "Listeners of server-sent events.",
          static_cast<double>(http.event_streams.load()));
  out.one("http_body_bytes", "gauge", "Request bodies being received.",
          static_cast<double>(http.body_bytes.load()));
  out.one("http_connections_accepted_total", "counter", "Connections that came.",
          static_cast<double>(http.accepted.load()));
  out.one("http_connections_refused_total", "counter", "Connections beyond the limits.",
          static_cast<double>(http.refused.load()));
  out.one("http_timeouts_total", "counter", "Connections ended for being slow or silent.",
          static_cast<double>(http.timeouts.load()));
  out.one("http_malformed_total", "counter", "Requests that were no HTTP, or over its limits.",
          static_cast<double>(http.bad_requests.load()));
}

}  // namespace

std::string prometheus_text(const RuntimeStats& stats, const HttpMetrics& http, bool ready,
                            bool draining) {
  Writer out;
  out.one("ready", "gauge", "1 while jobs are accepted and a worker lives.", ready ? 1 : 0);
  out.one("draining", "gauge", "1 while the server shuts down.", draining ? 1 : 0);
  out.one("resident_bytes", "gauge", "Memory of the server's own process.",
          static_cast<double>(resident_bytes()));
  write_jobs(out, stats);
  write_workers(out, stats);
  write_http(out, http);
  return out.take();
}

}  // namespace tintype::http

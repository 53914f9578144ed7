"""Shared by the comparisons: the machine's description, spreads, the resident process of ours.

A comparison alternates the two programs within one run, so that a machine that slows down or is
shared slows both; what counts is the ratio of each pair and how far the ratios spread.
"""

import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO / "tools" / "reference"))

# Both programs' threads spin for a moment after a parallel part, waiting for the next one. A turn
# must not start while the other's threads still do.
REST_S = 0.5


def cores():
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def machine():
    """What the figures were measured on."""
    model = platform.processor() or "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    memory_kb = int(Path("/proc/meminfo").read_text().split()[1])
    return {"cpu": model, "cores": cores(), "memory_gb": round(memory_kb / 1e6, 1)}


def commit():
    """The commit measured, marked when the tree differs from it."""

    def git(*words):
        run = subprocess.run(["git", *words], cwd=REPO, capture_output=True, text=True, check=False)
        return run.stdout.strip()

    return (git("rev-parse", "--short=12", "HEAD") or "none") + (
        "+changes" if git("status", "--porcelain") else ""
    )


def spread(values):
    """Median, least and greatest."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def line(label, figures, unit):
    """One row of the printed table."""
    return (
        f"{label:28} median {figures['median']:8.3f} {unit}   "
        f"min {figures['min']:8.3f}   max {figures['max']:8.3f}"
    )


def alternate(repeats, ours, theirs):
    """Times `repeats` pairs; who goes first turns with each pair. Each call returns seconds."""
    times = {"ours": [], "theirs": []}
    for i in range(repeats):
        turns = [("ours", ours), ("theirs", theirs)]
        for name, step in turns if i % 2 == 0 else reversed(turns):
            time.sleep(REST_S)
            times[name].append(step())
        print(
            f"  pair {i + 1}: ours {times['ours'][-1]:.3f} s, "
            f"diffusers {times['theirs'][-1]:.3f} s",
            flush=True,
        )
    ratios = [theirs / ours for ours, theirs in zip(times["ours"], times["theirs"])]
    return times, ratios


def header():
    """Everything needed to repeat a run."""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "command": " ".join(sys.argv),
        "commit": commit(),
        "machine": machine(),
    }


def write(result, path):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"written: {path}")


def report(result, times, ratios, json_path):
    """Prints the table, and stores it."""
    result = {
        **header(),
        **result,
        "ours_s": {**spread(times["ours"]), "all": times["ours"]},
        "diffusers_s": {**spread(times["theirs"]), "all": times["theirs"]},
        "ratio": {**spread(ratios), "all": ratios},
    }
    print(line("ours", result["ours_s"], "s"))
    print(line("diffusers f32", result["diffusers_s"], "s"))
    print(line("ratio (over 1: ours faster)", result["ratio"], " "))
    print(f"machine: {result['machine']}\nversions: {result['versions']}")
    if json_path:
        write(result, json_path)
    return result


class Resident:
    """A program of ours that stays loaded and answers one line for each line it is sent."""

    def __init__(self, command):
        self.command = [str(word) for word in command]
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.expect("ready")

    def read(self):
        answer = self.process.stdout.readline()
        if not answer:
            code = self.process.wait()
            raise SystemExit(f"{self.command[0]} must answer, but ended with exit code {code}")
        return answer.strip()

    def expect(self, word):
        answer = self.read()
        if answer != word:
            raise SystemExit(f"{self.command[0]} must answer '{word}', got '{answer}'")

    def ask(self, word):
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        return self.read()

    def peak_rss_bytes(self):
        """Highest resident memory so far, as the system counts it; not what the program says."""
        for row in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if row.startswith("VmHWM:"):
                return int(row.split()[1]) * 1024
        raise SystemExit("/proc must tell a process's peak memory (VmHWM)")

    def close(self):
        if self.process.poll() is None:
            self.process.stdin.write("quit\n")
            self.process.stdin.close()
            # A program that does not end by itself must not outlive the comparison.
            watchdog = threading.Timer(30, self.process.kill)
            watchdog.start()
            self.process.wait()
            watchdog.cancel()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

"""Keeps a running server busy with good, bad and hostile requests, and watches what it holds on to.

    python3 tools/server/soak.py URL SERVER_PID [--minutes 30] [--seed 1]

Needs nothing but Python. Every half minute it prints the memory, descriptors and threads of the server
and its workers; at the end it fails where the server does not answer, a good request failed, a bad one
was taken, a worker died, or the memory or the descriptors of the last third lie above those of the
second by more than a twentieth and 20 MB (or 8 descriptors)."""

import argparse
import base64
import json
import os
import random
import socket
import struct
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib


def png(width, height, seed):
    """A small PNG of noise."""
    rng = random.Random(seed)
    rows = b"".join(b"\0" + bytes(rng.randrange(256) for _ in range(3 * width)) for _ in range(height))

    def chunk(name, data):
        body = name + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


class Soak:
    def __init__(self, url, pid, seed):
        parts = urllib.parse.urlsplit(url)
        self.url, self.address, self.pid = url.rstrip("/"), (parts.hostname, parts.port), pid
        self.seed, self.done = seed, threading.Event()
        self.lock, self.counts, self.failures = threading.Lock(), {}, []
        self.picture = base64.b64encode(png(128, 128, 1)).decode()

    def count(self, what):
        with self.lock:
            self.counts[what] = self.counts.get(what, 0) + 1

    def fail(self, what):
        with self.lock:
            if len(self.failures) < 50:
                self.failures.append(what)
        print("FAILED", what, flush=True)

    def call(self, method, path, body=None, kind="application/json", timeout=60):
        """Status and bytes; status 0: the connection ended."""
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": kind}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except OSError:
            return 0, b""

    # Good ones: each must be answered as promised.

    def draw(self, rng):
        kind = rng.choice(["txt2img", "txt2img", "img2img", "inpaint"])
        body = {"type": kind, "prompt": rng.choice(["red apple", "fire engine", "a fox"]),
                "steps": rng.choice([4, 8, 20]), "sampler": rng.choice(["ddim", "euler_a", "dpmpp_2m"]),
                "seed": rng.randrange(1 << 40), "preview": {"every": rng.choice([0, 1, 3])},
                "output": {"format": rng.choice(["png", "jpeg", "webp"])}}
        if kind != "txt2img":
            body |= {"image": self.picture, "strength": 0.6}
        if kind == "inpaint":
            body["mask"] = self.picture
        status, answer = self.call("POST", "/v1/jobs", body)
        if status == 429:
            self.count("told to come back later")
            return time.sleep(0.5)
        if status != 202:
            return self.fail(f"{kind}: {status} {answer[:200]}")
        job = json.loads(answer)
        fate = rng.random()
        if fate < 0.15:
            status, _ = self.call("POST", f"/v1/jobs/{job['id']}/cancel", b"")
            if status != 200:
                self.fail(f"cancel: {status}")
            return self.count("cancelled")
        for _ in range(3000):
            status, answer = self.call("GET", f"/v1/jobs/{job['id']}")
            job = json.loads(answer) if status == 200 else {"state": f"status {status}"}
            if job["state"] not in ("queued", "running"):
                break
            time.sleep(0.05)
        if job["state"] != "succeeded":
            return self.fail(f"{kind}: {job}")
        status, picture = self.call("GET", job["results"][0]["url"])
        if status != 200 or len(picture) != job["results"][0]["bytes"]:
            self.fail(f"result: {status}, {len(picture)} bytes")
        if fate > 0.5 and self.call("DELETE", f"/v1/jobs/{job['id']}")[0] != 204:
            self.fail("delete")
        self.count(kind)

    def openai(self, rng):
        status, answer = self.call("POST", "/v1/images/generations",
                                   {"prompt": "red apple", "n": 1, "steps": 4, "seed": rng.randrange(99)})
        if status == 200:
            json.loads(answer)["data"][0]["b64_json"]
        elif status != 429:
            return self.fail(f"openai: {status} {answer[:200]}")
        self.count("OpenAI's generation")

    def a1111(self, rng):
        status, answer = self.call("POST", "/sdapi/v1/txt2img",
                                   {"prompt": "a (red:1.2) apple", "steps": 4, "seed": rng.randrange(99)})
        if status == 200:
            json.loads(answer)["images"][0]
        elif status != 429:
            return self.fail(f"a1111: {status} {answer[:200]}")
        self.count("A1111's txt2img")

    def look(self, rng):
        path = rng.choice(["/", "/v1/models", "/v1/jobs", "/v1/samplers", "/healthz", "/readyz", "/metrics",
                           "/openapi.json", "/sdapi/v1/progress", "/sdapi/v1/samplers"])
        status, _ = self.call("GET", path)
        if status != 200:
            self.fail(f"GET {path}: {status}")
        self.count("looked")

    # Bad ones: each must be refused, with a reason.

    def refused(self, rng):
        picture = rng.choice(["AAAA", "!!!", base64.b64encode(os.urandom(500)).decode()])
        method, path, body = rng.choice([
            ("POST", "/v1/jobs", b"{"), ("POST", "/v1/jobs", b"[" * 5000), ("POST", "/v1/jobs", b"\xff\xfe"),
            ("POST", "/v1/jobs", {"type": "nonsense"}),
            ("POST", "/v1/jobs", {"type": "txt2img", "prompt": "a", "step": 3}),
            ("POST", "/v1/jobs", {"type": "txt2img", "prompt": "a", "steps": 10 ** 9}),
            ("POST", "/v1/jobs", {"type": "txt2img", "prompt": "a", "width": 1 << 30, "height": 8}),
            ("POST", "/v1/jobs", {"type": "txt2img", "prompt": "a" * 100_000}),
            ("POST", "/v1/jobs", {"type": "txt2img", "model": "../../etc/passwd", "prompt": "a"}),
            ("POST", "/v1/jobs", {"type": "txt2img", "prompt": "<lora:../../x:1>"}),
            ("POST", "/v1/jobs", {"type": "img2img", "image": picture, "prompt": "a"}),
            ("POST", "/v1/images/generations", {"prompt": 5}),
            ("POST", "/v1/images/edits", b"--x\r\nnonsense"),
            ("POST", "/sdapi/v1/img2img", {"init_images": [picture]}),
            ("GET", "/v1/jobs/nonsense", None), ("GET", "/../../etc/passwd", None), ("GET", "/%00", None),
            ("DELETE", "/v1/models", None), ("PUT", "/v1/jobs", b"{}"),
            ("GET", "/v1/jobs/00000000-0000-7000-8000-000000000000", None)])
        status, answer = self.call(method, path, body)
        if not 400 <= status < 500:
            self.fail(f"{method} {path} {str(body)[:80]}: {status} {answer[:200]}")
        self.count("refused")

    def damaged(self, rng):
        """A picture that is cut off behind its header: taken at the door, refused by the worker."""
        cut = base64.b64encode(png(64, 64, 2)[:rng.randrange(60, 200)]).decode()
        status, answer = self.call("POST", "/v1/jobs", {"type": "img2img", "image": cut, "prompt": "a"})
        if status == 429:
            return time.sleep(0.5)
        job = json.loads(answer) if status == 202 else {"state": f"status {status}"}
        while job["state"] in ("queued", "running"):
            time.sleep(0.1)
            job = json.loads(self.call("GET", f"/v1/jobs/{job['id']}")[1])
        if job["state"] != "failed" or job["error"]["kind"] != "corrupt_file":
            return self.fail(f"a damaged picture: {job}")
        self.count("damaged")

    # Hostile ones: whatever the server does, it must go on.

    def hostile(self, rng):
        try:
            with socket.create_connection(self.address, 10) as peer:
                peer.settimeout(3)
                host = f"Host: {self.address[0]}:{self.address[1]}\r\n".encode()
                way = rng.randrange(8)
                if way == 0:  # a head that never ends
                    for _ in range(20):
                        peer.sendall(b"GET / HTTP/1.1\r\nX: ")
                        time.sleep(0.1)
                elif way == 1:  # too large a head
                    peer.sendall(b"GET / HTTP/1.1\r\n" + host + b"X: " + b"a" * 200_000 + b"\r\n\r\n")
                elif way == 2:  # more body than is taken
                    peer.sendall(b"POST /v1/jobs HTTP/1.1\r\n" + host +
                                 b"Content-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n{")
                elif way == 3:  # a body that stops
                    peer.sendall(b"POST /v1/jobs HTTP/1.1\r\n" + host + b"Content-Length: 5000\r\n\r\n{\"type\"")
                elif way == 4:  # no HTTP
                    peer.sendall(os.urandom(3000))
                elif way == 5:  # listens and goes without a word
                    peer.sendall(b"GET /v1/events HTTP/1.1\r\n" + host + b"\r\n")
                    time.sleep(rng.random())
                elif way == 6:  # many requests at once, and half closed
                    peer.sendall((b"GET /healthz HTTP/1.1\r\n" + host + b"\r\n") * 50)
                    peer.shutdown(socket.SHUT_WR)
                    while peer.recv(65536):
                        pass
                else:  # a reset in the middle of an answer
                    peer.sendall(b"GET / HTTP/1.1\r\n" + host + b"\r\n")
                    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            pass
        self.count("hostile")

    def run(self, number, acts):
        rng = random.Random(f"{self.seed} {number}")
        while not self.done.is_set():
            try:
                rng.choice(acts)(rng)
            except Exception as error:  # a client's own fault is a finding too
                self.fail(f"{type(error).__name__}: {error}")
            time.sleep(rng.random() * 0.3)

    def processes(self):
        with open(f"/proc/{self.pid}/task/{self.pid}/children") as file:
            children = [int(child) for child in file.read().split()]
        for task in os.listdir(f"/proc/{self.pid}/task"):
            with open(f"/proc/{self.pid}/task/{task}/children") as file:
                children += [int(child) for child in file.read().split() if int(child) not in children]
        return [self.pid] + sorted(children)

    def held(self, pid):
        with open(f"/proc/{pid}/status") as file:
            fields = dict(line.split(":", 1) for line in file)
        return (int(fields["VmRSS"].split()[0]) / 1000, len(os.listdir(f"/proc/{pid}/fd")),
                int(fields["Threads"]))

    def watch(self, minutes):
        start, samples, first = time.time(), [], self.processes()
        while time.time() - start < minutes * 60:
            time.sleep(30)
            now = self.processes()
            if now != first:
                self.fail(f"processes were {first} and are {now}")
                first = now
            sample = [self.held(pid) for pid in now]
            samples.append(sample)
            print(f"{(time.time() - start) / 60:5.1f} min " +
                  "; ".join(f"{name} {rss:.0f} MB, {fds} descriptors, {threads} threads"
                            for name, (rss, fds, threads) in zip(["server"] + ["worker"] * 9, sample)),
                  flush=True)
        return samples


def steady(samples, what, index, slack):
    """Compares the last third with the second, process by process."""
    third = len(samples) // 3
    for process in range(len(samples[0])):
        def mean(part):
            return sum(sample[process][index] for sample in part) / len(part)
        before, after = mean(samples[third:2 * third]), mean(samples[2 * third:])
        if after > before * 1.05 and after > before + slack:
            yield f"{what} of process {process} grew from {before:.0f} to {after:.0f}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("pid", type=int)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    soak = Soak(args.url, args.pid, args.seed)
    crews = [[soak.draw]] * 3 + [[soak.openai, soak.a1111]] + [[soak.look]] + [[soak.refused]] * 2 + [[soak.damaged]] + \
            [[soak.hostile]] * 4
    threads = [threading.Thread(target=soak.run, args=(i, acts)) for i, acts in enumerate(crews)]
    for thread in threads:
        thread.start()
    samples = soak.watch(args.minutes)
    soak.done.set()
    for thread in threads:
        thread.join()
    if soak.call("GET", "/readyz")[0] != 200:
        soak.fail("not ready at the end")
    if len(samples) >= 6 and len({len(sample) for sample in samples}) == 1:
        for finding in [*steady(samples, "memory (MB)", 0, 20), *steady(samples, "descriptors", 1, 8)]:
            soak.fail(finding)
    print(json.dumps({"minutes": args.minutes, "counts": soak.counts, "failures": soak.failures}, indent=1))
    sys.exit(1 if soak.failures else 0)


if __name__ == "__main__":
    main()

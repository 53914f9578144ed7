"""A stand-in for `tintype serve`: the native API of docs/server.md without an engine.

Serves the page's files under the policy that the real server sends, accepts jobs, "draws" them in
small steps with previews, and tells of them by server-sent events. For work on the page and for
tools/web/drive_page.py. State is in memory; pictures are drawn by Pillow, or taken from a folder.

    python tools/web/fake_server.py --port 8188 [--pictures FOLDER] [--key SECRET] [--step 0.05]

Faults on demand, for the driver: POST /fake/drop closes every open stream, POST /fake/offline
{"seconds": S} refuses everything for a while.
"""

import argparse
import base64
import hashlib
import io
import json
import pathlib
import random
import threading
import time
import urllib.parse
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from PIL import Image, ImageDraw, ImageFilter

ROOT = pathlib.Path(__file__).resolve().parents[2]
WEB = ROOT / "apps" / "web"
POLICY = "default-src 'self'; img-src 'self' data: blob:"
MEDIA_TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
               ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
FINAL = {"succeeded", "failed", "cancelled", "expired"}
DRAWING = {"txt2img", "img2img", "inpaint"}
MEMBERS = """type model prompt negative_prompt prompt_2 negative_prompt_2 width height steps
guidance_scale guidance_rescale eta clip_skip sampler scheduler preset rng prompt_syntax seed
variation_seed variation_strength count adapters image mask strength resize mask_options hires
upscaler tile overlap output preview client_key priority deadline_s""".split()

MODELS = [
    {"id": "tintype-emoji-128", "architecture": "StableDiffusionPipeline", "width": 128,
     "height": 128, "size_multiple": 8, "steps": 20, "guidance_scale": 7.5, "sampler": "ddim",
     "prediction_type": "v_prediction", "inpainting": False, "profile": "exact",
     "weight_bytes": 37_000_000, "peak_bytes": 90_000_000},
    {"id": "portrait-xl", "architecture": "StableDiffusionXLPipeline", "width": 1024,
     "height": 1024, "size_multiple": 8, "steps": 20, "guidance_scale": 7.5, "sampler": "euler",
     "prediction_type": "epsilon", "inpainting": False, "profile": "balanced",
     "weight_bytes": 3_500_000_000, "peak_bytes": 9_000_000_000},
]
SAMPLERS = [("ddim", "DDIM", False), ("ddpm", "DDPM", False), ("pndm", "PLMS", False),
            ("lms", "LMS", True), ("euler", "Euler", True), ("euler_a", "Euler a", True),
            ("heun", "Heun", True), ("dpmpp_2m", "DPM++ 2M", True),
            ("dpmpp_2m_sde", "DPM++ 2M SDE", True), ("unipc", "UniPC", True),
            ("lcm", "LCM", False)]
SCHEDULERS = [("karras", "Karras"), ("exponential", "Exponential"), ("normal", "Normal"),
              ("sgm_uniform", "SGM Uniform"), ("beta", "Beta")]
PRESETS = [
    ("ultra_fast", "A first look: few steps of a smaller picture.", 10, "dpmpp_2m", "karras", 5,
     0.75, "fast"),
    ("balanced", "The usual choice: 8-bit arithmetic, which the eye does not see.", 20, "dpmpp_2m",
     "karras", None, 1, "balanced"),
    ("quality", "For a picture to keep: more steps.", 40, "dpmpp_2m", "karras", None, 1, "exact"),
    ("lcm", "For models distilled to latent consistency (LCM).", 4, "lcm", None, 1, 1, None),
]
LIMITS = {"max_steps": 150, "max_side": 4096, "max_pixels": 4 << 20, "max_count": 8,
          "max_adapters": 8, "max_image_bytes": 32 << 20}


def lists():
    """What each of the lists of names answers, by its route."""
    base = {"object": "model", "created": 0, "owned_by": "tintype"}
    preset_members = ("name", "purpose", "steps", "sampler", "scheduler", "guidance_scale",
                      "size_scale", "profile")
    return {
        "/v1/models": {"object": "list", "data": [{**base, **m} for m in MODELS],
                       "limits": LIMITS},
        "/v1/adapters": {"data": [{"name": "line-drawing"}, {"name": "watercolour"}]},
        "/v1/upscalers": {"data": [{"name": "4x-UltraSharp"}, {"name": "2x-soft"}]},
        "/v1/samplers": {"data": [dict(zip(("name", "label", "takes_scheduler"), s))
                                  for s in SAMPLERS],
                         "schedulers": [dict(zip(("name", "label"), s)) for s in SCHEDULERS]},
        "/v1/presets": {"data": [dict(zip(preset_members, p)) for p in PRESETS]},
    }


class Refused(Exception):
    """An error answer: status, kind, message, and the member that it is about."""

    def __init__(self, status, kind, message, field=None):
        super().__init__(message)
        self.status = status
        self.body = {"error": {"kind": kind, "message": message, "field": field}}


def now():
    seconds = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds * 1000) % 1000:03d}Z"


def uuid7():
    value = (int(time.time() * 1000) << 80) | random.getrandbits(80)
    value = value & ~(0xF << 76) | (7 << 76)
    value = value & ~(0x3 << 62) | (2 << 62)
    return str(uuid.UUID(int=value))


def decode_picture(text, field):
    """Bytes and media type of base64 or a data URI; refuses what is no picture."""
    try:
        raw = base64.b64decode(text.split(",", 1)[1] if text.startswith("data:") else text)
        return raw, Image.MIME[Image.open(io.BytesIO(raw)).format]
    except Exception:
        raise Refused(400, "invalid_argument", f"[{field}] must be a PNG, JPEG or WebP picture",
                      field) from None


def encode(picture, kind="PNG", **options):
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, kind, **options)
    return buffer.getvalue()


class Painter:
    """Pictures in place of an engine's: from a folder by the prompt's words, or made up."""

    def __init__(self, folder):
        self.folder = folder

    def draw(self, request, inputs, seed):
        size = (request.get("width", 128), request.get("height", 128))
        if inputs:
            picture = Image.open(io.BytesIO(inputs[0][0])).convert("RGB")
            if request["type"] == "upscale":
                return picture.resize((picture.width * 2, picture.height * 2), Image.LANCZOS)
            picture = picture.resize(size)
            drawn = self._made_up(request.get("prompt", ""), seed, size)
            mask = Image.new("L", size, 128)
            if len(inputs) > 1:
                mask = Image.open(io.BytesIO(inputs[1][0])).convert("L").resize(size)
            return Image.composite(drawn, picture, mask)
        scale = request.get("hires", {}).get("scale", 1)
        size = (int(size[0] * scale), int(size[1] * scale))
        if self.folder:
            wanted = request.get("prompt", "").replace(" ", "-")
            found = sorted(self.folder.glob(f"{wanted}*.png"))
            if found:
                return Image.open(found[seed % len(found)]).convert("RGB").resize(size)
        return self._made_up(request.get("prompt", ""), seed, size)

    @staticmethod
    def _made_up(prompt, seed, size):
        chance = random.Random(hashlib.sha256(f"{prompt}/{seed}".encode()).digest())
        tone = [chance.randrange(60, 230) for _ in range(3)]
        picture = Image.new("RGB", (256, 256), tuple(min(255, t + 25) for t in tone))
        pen = ImageDraw.Draw(picture)
        for _ in range(7):
            x, y, r = chance.randrange(256), chance.randrange(256), chance.randrange(20, 90)
            fill = tuple(max(0, min(255, t + chance.randrange(-70, 70))) for t in tone)
            pen.ellipse((x - r, y - r, x + r, y + r), fill=fill)
        return picture.filter(ImageFilter.GaussianBlur(3)).resize(size)


class Jobs:
    """The queue, one thread that works it off, and those who listen."""

    def __init__(self, painter, step_seconds, max_queued=100):
        self.painter, self.step_seconds = painter, step_seconds
        self.max_queued = max_queued
        self.changed = threading.Condition()
        self.jobs, self.inputs, self.results, self.keys = {}, {}, {}, {}
        self.revision, self.drops, self.offline_until = 0, 0, 0
        threading.Thread(target=self._work, daemon=True).start()

    def _tell(self, job, **members):
        with self.changed:
            self.revision += 1
            job.update(members, revision=self.revision)
            self._estimate()
            self.changed.notify_all()

    def _estimate(self):
        queued = sorted((j for j in self.jobs.values() if j["state"] == "queued"),
                        key=lambda j: (-j["request"].get("priority", 0), j["id"]))
        for place, job in enumerate(queued):
            seconds = (place + 1) * 20 * self.step_seconds
            if (job["position"], job["seconds_to_start"]) != (place, seconds):
                self.revision += 1
                job.update(position=place, seconds_to_start=seconds, revision=self.revision)

    def submit(self, request, key):
        request = dict(request)
        key = request.pop("client_key", None) or key
        if key and key in self.keys:
            return self.jobs[self.keys[key]], False
        inputs = self._check(request)
        if sum(j["state"] == "queued" for j in self.jobs.values()) >= self.max_queued:
            raise Refused(429, "queue_full", f"[queue] must hold at most {self.max_queued} jobs")
        job_id = uuid7()
        for name, index in (("image", 0), ("mask", 1)):
            if name in request:
                request[name] = f"/v1/jobs/{job_id}/inputs/{index}"
        job = {"id": job_id, "state": "queued", "revision": 0, "request": request,
               "created": now(), "started": None, "finished": None, "deadline": None,
               "results_expire": None, "attempts": 0, "worker": None, "position": 0,
               "seconds_to_start": None, "progress": None, "previews": [], "error": None,
               "results": [], "info": []}
        with self.changed:
            self.jobs[job_id], self.inputs[job_id], self.results[job_id] = job, inputs, []
            if key:
                self.keys[key] = job_id
        self._tell(job)
        return job, True

    def _check(self, request):
        """Fills defaults in; returns the pictures that came along."""
        for name in request:
            if name not in MEMBERS:
                raise Refused(400, "invalid_argument", f"[{name}] is no member of a request", name)
        kind = request.get("type")
        if kind not in DRAWING | {"upscale"}:
            raise Refused(400, "invalid_argument", "[type] must be txt2img, img2img, ...", "type")
        inputs = []
        for name in ("image", "mask"):
            if name in request:
                inputs.append(decode_picture(request[name], name))
        if len({Image.open(io.BytesIO(raw)).size for raw, _ in inputs}) > 1:
            raise Refused(400, "invalid_argument", "[mask] must have the picture's size", "mask")
        if kind != "txt2img" and not inputs:
            raise Refused(400, "invalid_argument", f"[image] is needed for {kind}", "image")
        if kind == "upscale":
            return inputs
        model = next((m for m in MODELS if m["id"] == request.get("model", MODELS[0]["id"])), None)
        if not model:
            raise Refused(404, "not_found", f"[model] {request['model']} is not known", "model")
        for name, low, high in (("steps", 1, 150), ("count", 1, 8), ("width", 8, 4096),
                                ("height", 8, 4096), ("strength", 0, 1), ("clip_skip", 0, 12)):
            value = request.get(name, low)
            if not isinstance(value, (int, float)) or not low <= value <= high:
                raise Refused(400, "invalid_argument",
                              f"[{name}] must be {low}..{high}, got {value}", name)
        if inputs and not {"width", "height"} & request.keys():
            sides = Image.open(io.BytesIO(inputs[0][0])).size
            request.update(width=max(8, sides[0] // 8 * 8), height=max(8, sides[1] // 8 * 8))
        for name in ("width", "height"):
            if request.get(name, 8) % 8:
                raise Refused(400, "invalid_argument", f"[{name}] must be a multiple of 8, got "
                              f"{request[name]}", name)
        preset = next((dict(zip(("steps", "sampler", "scheduler", "guidance_scale"), p[2:6]))
                       for p in PRESETS if p[0] == request.get("preset")), {})
        for name, value in {**preset, "model": model["id"], "steps": model["steps"],
                            "guidance_scale": model["guidance_scale"], "width": model["width"],
                            "height": model["height"], "sampler": model["sampler"], "count": 1,
                            "seed": random.getrandbits(63)}.items():
            if value is not None and preset.get(name) in (None, value):
                request.setdefault(name, value)
        request["seed"] = int(request["seed"])
        return inputs

    def _work(self):
        while True:
            with self.changed:
                queued = [j for j in self.jobs.values() if j["state"] == "queued"]
                if not queued:
                    self.changed.wait()
                    continue
                job = min(queued, key=lambda j: j["position"])
            try:
                self._run(job)
            except Exception as error:  # a defect here must not look like one of the page
                self._tell(job, state="failed", finished=now(), previews=[], progress=None,
                           error={"kind": "internal", "message": f"[fake] {error!r}"})

    def _run(self, job):
        request = job["request"]
        steps, count = request.get("steps", 4), request.get("count", 1)
        self._tell(job, state="running", started=now(), attempts=1, worker="cpu0", position=None,
                   seconds_to_start=None,
                   progress={"stage": "load", "step": 0, "steps": 0, "fraction": 0,
                             "seconds_left": None})
        seed = request.get("seed", 0)
        pictures = [self.painter.draw(request, self.inputs[job["id"]], seed + n)
                    for n in range(count)]
        every = request.get("preview", {}).get("every", 1)
        for step in range(1, steps + 1):
            time.sleep(self.step_seconds)
            if job["state"] != "running":
                return
            previews = job["previews"]
            if every and step % every == 0:
                blur = 14 * (1 - step / steps)
                previews = [{"step": step, "data": "data:image/jpeg;base64," + base64.b64encode(
                    encode(p.resize((96, 96)).filter(ImageFilter.GaussianBlur(blur)), "JPEG",
                           quality=70)).decode()} for p in pictures]
            self._tell(job, previews=previews,
                       progress={"stage": "denoise", "step": step, "steps": steps,
                                 "fraction": round(0.98 * step / steps, 3),
                                 "seconds_left": round((steps - step) * self.step_seconds, 2)})
        if "break the engine" in request.get("prompt", ""):
            self._tell(job, state="failed", finished=now(), previews=[], progress=None,
                       error={"kind": "out_of_memory", "message": "[unet] needs 9.1 GB, 4 GB left"})
            return
        kind = request.get("output", {}).get("format", "png")
        self.results[job["id"]] = [(encode(p, kind.upper()), f"image/{kind}") for p in pictures]
        results = [{"url": f"/v1/jobs/{job['id']}/results/{n}", "media_type": media,
                    "bytes": len(raw), "width": p.width, "height": p.height}
                   for n, ((raw, media), p) in enumerate(zip(self.results[job["id"]], pictures))]
        info = [{**{k: v for k, v in request.items() if k not in ("image", "mask")},
                 "seed": seed + n, "count": 1} for n in range(count)]
        self._tell(job, state="succeeded", finished=now(), previews=[], progress=None,
                   results=results, info=info)

    def cancel(self, job):
        if job["state"] not in FINAL:
            self._tell(job, state="cancelled", finished=now(), previews=[], progress=None,
                       position=None, seconds_to_start=None)

    def remove(self, job):
        self.cancel(job)
        with self.changed:
            del self.jobs[job["id"]]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self._answer("GET")

    def do_POST(self):
        self._answer("POST")

    def do_DELETE(self):
        self._answer("DELETE")

    def _answer(self, method):
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length) if length else b""
        try:
            self._route(method, urllib.parse.urlsplit(self.path), body)
        except Refused as refused:
            extra = {"Retry-After": "2"} if refused.status == 429 else {}
            self._json(refused.status, refused.body, extra)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _route(self, method, url, body):
        jobs, parts = self.server.jobs, url.path.strip("/").split("/")
        if url.path == "/fake/drop":
            with jobs.changed:
                jobs.drops += 1
                jobs.changed.notify_all()
            return self._json(200, {})
        if url.path == "/fake/offline":
            jobs.offline_until = time.time() + json.loads(body)["seconds"]
            return self._json(200, {})
        if time.time() < jobs.offline_until:
            raise Refused(503, "internal", "[server] not ready")
        if parts[0] != "v1":
            return self._asset(url.path)
        key = self.server.key
        if key and self.headers.get("Authorization") != f"Bearer {key}":
            raise Refused(401, "unauthorized", "[authorization] needs an API key of this server")
        if url.path in lists():
            return self._json(200, lists()[url.path])
        if url.path == "/v1/events":
            return self._events(None)
        if parts[:2] != ["v1", "jobs"]:
            raise Refused(404, "not_found", f"[route] {url.path} is not known")
        if len(parts) == 2:
            if method == "POST":
                job, made = jobs.submit(json.loads(body), self.headers.get("Idempotency-Key"))
                return self._json(202 if made else 200, job)
            return self._list(urllib.parse.parse_qs(url.query))
        job = jobs.jobs.get(parts[2])
        if not job:
            raise Refused(404, "not_found", f"[job] {parts[2]} is not known")
        if len(parts) == 3 and method == "DELETE":
            jobs.remove(job)
            return self._send(204, b"", {})
        if len(parts) == 3:
            return self._json(200, job)
        if parts[3] == "cancel":
            jobs.cancel(job)
            return self._json(200, job)
        if parts[3] == "events":
            return self._events(job["id"])
        try:
            raw, media = getattr(jobs, parts[3])[job["id"]][int(parts[4])]
        except (AttributeError, IndexError, ValueError):
            raise Refused(404, "not_found", "[result] is not there") from None
        self._send(200, raw, {"Content-Type": media})

    def _list(self, query):
        found = sorted(list(self.server.jobs.jobs.values()), key=lambda j: j["id"], reverse=True)
        if "state" in query:
            found = [j for j in found if j["state"] in query["state"][0].split(",")]
        if "before" in query:
            found = [j for j in found if j["id"] < query["before"][0]]
        self._json(200, {"data": found[:int(query.get("limit", ["50"])[0])]})

    def _events(self, only):
        jobs = self.server.jobs
        self.send_response(200)
        for name, value in {"Content-Type": "text/event-stream", "Cache-Control": "no-store",
                            "Connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()
        self.close_connection = True
        seen = int(self.headers.get("Last-Event-ID") or 0)
        with jobs.changed:
            drops = jobs.drops
            if not only and not seen:
                seen = jobs.revision
        while True:
            with jobs.changed:
                fresh = sorted((j for j in jobs.jobs.values() if j["revision"] > seen
                                and only in (None, j["id"])), key=lambda j: j["revision"])
                if not fresh and jobs.drops == drops:
                    jobs.changed.wait(timeout=15)
                if jobs.drops != drops:
                    return
                text = "".join(f"id: {j['revision']}\nevent: job\ndata: {json.dumps(j)}\n\n"
                               for j in fresh) or ": still here\n\n"
                seen = max([seen] + [j["revision"] for j in fresh])
                done = only and fresh and fresh[-1]["state"] in FINAL
            self.wfile.write(text.encode())
            self.wfile.flush()
            if done:
                return

    def _asset(self, path):
        file = WEB / ("index.html" if path == "/" else path.lstrip("/"))
        if file.parent != WEB or not file.is_file():
            raise Refused(404, "not_found", f"[route] {path} is not known")
        self._send(200, file.read_bytes(), {"Content-Type": MEDIA_TYPES[file.suffix],
                                            "Content-Security-Policy": POLICY,
                                            "Cache-Control": "no-cache"})

    def _json(self, status, value, extra=()):
        self._send(status, json.dumps(value).encode(),
                   {"Content-Type": "application/json", **dict(extra)})

    def _send(self, status, body, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def start(port=0, pictures=None, key=None, step_seconds=0.05):
    """A running server on loopback; port 0 takes a free one (server_address[1])."""
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    server.key = key
    server.jobs = Jobs(Painter(pictures and pathlib.Path(pictures)), step_seconds)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=8188)
    parser.add_argument("--pictures", help="folder of PNG files named by prompt: red-apple-1.png")
    parser.add_argument("--key", help="API key to ask for (default: none)")
    parser.add_argument("--step", type=float, default=0.05, help="seconds a step takes")
    arguments = parser.parse_args()
    server = start(arguments.port, arguments.pictures, arguments.key, arguments.step)
    print(f"http://127.0.0.1:{server.server_address[1]}/", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()

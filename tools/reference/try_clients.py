#!/usr/bin/env python3
"""Drives a running server with real clients: the packages openai and webuiapi.

    python tools/reference/try_clients.py http://127.0.0.1:7860 [--key KEY] [--size 128] [--steps 4]

Needs openai, webuiapi and pillow. Prints a line for each check and exits with 1 if any failed. The
server should draw quickly (a small model): each picture has --size pixels a side.
"""

import argparse
import base64
import io
import sys
import threading
import time
import traceback
import urllib.error
import urllib.request

import openai
import webuiapi
from PIL import Image, ImageDraw

CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def picture(text):
    image = Image.open(io.BytesIO(base64.b64decode(text)))
    image.load()
    return image


def as_file(image, name):
    file = io.BytesIO()
    image.save(file, "PNG")
    file.seek(0)
    file.name = name
    return file


class Setup:
    def __init__(self, options):
        self.url = options.url.rstrip("/")
        self.size, self.steps = options.size, options.steps
        self.text = f"{options.size}x{options.size}"
        self.openai = openai.OpenAI(base_url=self.url + "/v1", api_key=options.key or "none",
                                    max_retries=0, timeout=600)
        self.ui = webuiapi.WebUIApi(baseurl=self.url + "/sdapi/v1")
        if options.key:
            self.ui.set_auth("user", options.key)
        self.red = Image.new("RGB", (self.size, self.size), (200, 30, 30))
        ImageDraw.Draw(self.red).ellipse((10, 10, self.size - 10, self.size - 10), fill=(30, 160, 60))

    def drawing(self, **more):
        return dict(size=self.text, extra_body={"steps": self.steps, "seed": 7}, **more)

    def a1111(self, **more):
        return dict(width=self.size, height=self.size, steps=self.steps, seed=7, **more)


@check
def openai_models(s):
    models = list(s.openai.models.list())
    expect(models and models[0].id and models[0].object == "model", f"models: {models}")


@check
def openai_generate_base64(s):
    answer = s.openai.images.generate(prompt="red apple", n=2, response_format="b64_json",
                                      **s.drawing())
    expect(len(answer.data) == 2, f"two pictures, got {len(answer.data)}")
    for one in answer.data:
        expect(picture(one.b64_json).size == (s.size, s.size), "the size that was asked")
    again = s.openai.images.generate(prompt="red apple", response_format="b64_json", **s.drawing())
    first, second = (picture(a.data[0].b64_json).tobytes() for a in (answer, again))
    expect(first == second, "the same seed draws the same picture")


@check
def openai_generate_url(s):
    answer = s.openai.images.generate(prompt="red apple", response_format="url", **s.drawing())
    with urllib.request.urlopen(answer.data[0].url) as response:  # without a key
        expect(Image.open(io.BytesIO(response.read())).size == (s.size, s.size), "its picture")
    try:
        urllib.request.urlopen(answer.data[0].url[:-1] + "x")
        raise AssertionError("a forged address was answered")
    except urllib.error.HTTPError as error:
        expect(error.code == 404, f"404, got {error.code}")


@check
def openai_formats(s):
    for name, expected in [("jpeg", "JPEG"), ("webp", "WEBP"), ("png", "PNG")]:
        answer = s.openai.images.generate(prompt="red apple", output_format=name,
                                          output_compression=80, **s.drawing())
        expect(picture(answer.data[0].b64_json).format == expected, name)


@check
def openai_stream(s):
    events = list(s.openai.images.generate(
        prompt="red apple", stream=True, partial_images=2, size=s.text,
        extra_body={"steps": max(s.steps, 6), "seed": 7}))
    kinds = [event.type for event in events]
    expect(kinds[-1] == "image_generation.completed", f"ends completed: {kinds}")
    expect("image_generation.partial_image" in kinds, f"has partial pictures: {kinds}")
    expect(len(kinds) <= 3, f"at most two partial pictures: {kinds}")
    for event in events:
        picture(event.b64_json)
    indices = [event.partial_image_index for event in events[:-1]]
    expect(indices == list(range(len(indices))), f"counted from 0: {indices}")


@check
def openai_edit_mask(s):
    mask = Image.new("RGBA", s.red.size, (0, 0, 0, 255))
    half = s.size // 2
    mask.paste((0, 0, 0, 0), (0, 0, half, s.size))  # the left half is transparent: drawn anew
    answer = s.openai.images.edit(image=as_file(s.red, "image.png"), mask=as_file(mask, "mask.png"),
                                  prompt="blue sky", **s.drawing())
    edited = picture(answer.data[0].b64_json).convert("RGB")
    box = (half + 1, 0, s.size, s.size)
    expect(edited.crop(box).tobytes() == s.red.crop(box).tobytes(), "the opaque part is kept")
    box = (0, 0, half - 1, s.size)
    expect(edited.crop(box).tobytes() != s.red.crop(box).tobytes(), "the transparent part is drawn")


@check
def openai_edit_stream(s):
    events = list(s.openai.images.edit(
        image=[as_file(s.red, "image.png")], prompt="green apple", stream=True, partial_images=1,
        extra_body={"steps": max(s.steps, 6)}))
    expect(events[-1].type == "image_edit.completed", f"ends completed: {events[-1].type}")
    picture(events[-1].b64_json)


@check
def openai_errors(s):
    def kind_of(expected, **request):
        try:
            s.openai.images.generate(prompt="p", **request)
        except expected as error:
            expect(error.message and error.body.get("type"), f"says why: {error.body}")
            return
        raise AssertionError(f"{request} was accepted")

    kind_of(openai.BadRequestError, size="7x")
    kind_of(openai.BadRequestError, n=1000)
    kind_of(openai.BadRequestError, extra_body={"stepps": 3})
    kind_of(openai.NotFoundError, model="no-such-model")
    kind_of(openai.UnprocessableEntityError, background="transparent")


@check
def a1111_txt2img(s):
    result = s.ui.txt2img(prompt="(red apple:1.1)", negative_prompt="blurry", batch_size=2,
                          sampler_name="DPM++ 2M", scheduler="Karras", **s.a1111())
    expect([image.size for image in result.images] == [(s.size, s.size)] * 2, "two pictures")
    expect(result.info["all_seeds"] == [7, 8], f"seeds: {result.info['all_seeds']}")
    expect("Steps:" in result.info["infotexts"][0], f"infotexts: {result.info['infotexts']}")
    expect(result.info["sampler_name"] == "DPM++ 2M", result.info["sampler_name"])
    parsed = s.ui.png_info(result.image)
    expect(parsed.info == result.info["infotexts"][0], f"png info: {parsed.info}")
    expect(parsed.parameters["Seed"] == "7", f"png info: {parsed.parameters}")


@check
def a1111_hires(s):
    result = s.ui.txt2img(prompt="red apple", enable_hr=True, hr_scale=1.5, denoising_strength=0.6,
                          **s.a1111())
    expect(result.image.size[0] > s.size, f"larger: {result.image.size}")


@check
def a1111_img2img(s):
    result = s.ui.img2img(images=[s.red], prompt="red apple", denoising_strength=0.5, **s.a1111())
    expect(result.image.size == (s.size, s.size), f"{result.image.size}")


@check
def a1111_inpaint(s):
    mask = Image.new("L", s.red.size, 0)
    mask.paste(255, (0, 0, s.size // 2, s.size))
    result = s.ui.img2img(images=[s.red], mask_image=mask, prompt="blue", inpainting_fill=1,
                          inpaint_full_res=False, mask_blur=0, denoising_strength=0.9, **s.a1111())
    box = (s.size // 2 + 1, 0, s.size, s.size)
    expect(result.image.convert("RGB").crop(box).tobytes() == s.red.crop(box).tobytes(),
           "what the mask leaves out is kept")


@check
def a1111_progress_and_interrupt(s):
    outcome = {}

    def draw():
        outcome["result"] = s.ui.txt2img(prompt="red apple", width=s.size, height=s.size,
                                         steps=150, seed=1, sampler_name="Euler a")

    thread = threading.Thread(target=draw)
    thread.start()
    seen = None
    for _ in range(600):
        seen = s.ui.get_progress()
        if seen["progress"] > 0 and seen["current_image"]:
            break
        time.sleep(0.05)
    expect(seen["state"]["job_count"] == 1, f"state: {seen['state']}")
    expect(seen["progress"] > 0, "progress grows")
    expect(seen["current_image"] is not None, "a preview comes")
    picture(seen["current_image"])
    expect(s.ui.interrupt() == {}, "interrupt answers {}")
    thread.join(60)
    expect(not thread.is_alive(), "an interrupted request ends")
    expect(outcome["result"].info["interrupted"], "and says so")
    s.ui.util_wait_for_ready(check_interval=0.2)


@check
def a1111_options(s):
    options = s.ui.get_options()
    names = s.ui.util_get_model_names()
    expect(s.ui.util_get_current_model() in names, f"{options} {names}")
    s.ui.util_set_model(names[-1])
    expect(s.ui.util_get_current_model() == names[-1], "the model that was chosen")
    s.ui.set_options({"CLIP_stop_at_last_layers": 2})
    expect(s.ui.get_options()["CLIP_stop_at_last_layers"] == 2, "the option that was set")
    s.ui.set_options({"sd_model_checkpoint": options["sd_model_checkpoint"],
                      "CLIP_stop_at_last_layers": 1})


@check
def a1111_lists(s):
    samplers = s.ui.util_get_sampler_names()
    expect({"Euler a", "DPM++ 2M", "DDIM"} <= set(samplers), f"samplers: {samplers}")
    expect("karras" in s.ui.util_get_scheduler_names(), "schedulers")
    expect(any(mode["name"] == "Latent" for mode in s.ui.get_latent_upscale_modes()), "latents")
    for get in (s.ui.get_loras, s.ui.get_upscalers, s.ui.get_sd_vae, s.ui.get_hypernetworks,
                s.ui.get_face_restorers, s.ui.get_realesrgan_models, s.ui.get_prompt_styles):
        expect(isinstance(get(), list), get.__name__)
    expect("loaded" in s.ui.get_embeddings(), "embeddings")
    expect(s.ui.get_memory()["ram"]["total"] > 0, "memory")
    expect(isinstance(s.ui.get_cmd_flags(), dict), "flags")
    expect(s.ui.refresh_checkpoints() is None, "refresh")


@check
def a1111_lora(s):
    loras = s.ui.get_loras()
    if not loras:
        return "skipped: the server has no adapters"
    name = loras[0]["name"]
    plain, styled = (s.ui.txt2img(prompt=prompt, **s.a1111()).image.tobytes()
                     for prompt in ("red apple", f"red apple <lora:{name}:1>"))
    expect(plain != styled, f"{name} changes the picture")


@check
def a1111_upscale(s):
    upscalers = [one["name"] for one in s.ui.get_upscalers() if one["name"] != "None"]
    unchanged = s.ui.extra_single_image(s.red)
    expect(unchanged.image.tobytes() == s.red.tobytes(), "without an upscaler nothing changes")
    if not upscalers:
        return "skipped: the server has no upscalers"
    result = s.ui.extra_single_image(s.red, upscaler_1=upscalers[0], upscaling_resize=2)
    expect(result.image.size == (2 * s.size, 2 * s.size), f"twice: {result.image.size}")


@check
def a1111_errors(s):
    for status, request in [(422, {"script_name": "X/Y/Z plot"}), (400, {"steps": 0}),
                            (400, {"sampler_name": "Eulr a"}), (422, {"tiling": True})]:
        try:
            s.ui.txt2img(prompt="p", **request)
        except RuntimeError as error:
            expect(error.args[0] == status and "detail" in error.args[1], f"{request}: {error}")
        else:
            raise AssertionError(f"{request} was accepted")


@check
def a_client_that_goes_away_cancels_its_job(s):
    impatient = openai.OpenAI(base_url=s.openai.base_url, api_key=s.openai.api_key, max_retries=0,
                              timeout=1.5)
    try:
        impatient.images.generate(prompt="gone", size=s.text,
                                  extra_body={"steps": 150, "client_key": f"gone-{time.time()}"})
        return "skipped: 150 steps took less than the time-out"
    except openai.APITimeoutError:
        pass
    for _ in range(100):
        jobs = s.openai.get("/jobs?limit=5", cast_to=object)
        listed = jobs.get("data", jobs.get("jobs", jobs)) if isinstance(jobs, dict) else jobs
        gone = [job for job in listed if job["request"].get("prompt") == "gone"]
        if gone and gone[0]["state"] == "cancelled":
            return None
        time.sleep(0.1)
    raise AssertionError(f"still {[job['state'] for job in gone]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("--key", default="")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--only", default="", help="part of the names of the checks to run")
    options = parser.parse_args()
    setup = Setup(options)
    failed = 0
    for one in CHECKS:
        if options.only not in one.__name__:
            continue
        began = time.time()
        try:
            outcome = one(setup) or "ok"
        except Exception:  # a check may fail in any way; the others still run
            outcome = "FAILED\n" + traceback.format_exc(limit=-3)
            failed += 1
        print(f"{one.__name__} ({time.time() - began:.1f} s): {outcome}", flush=True)
    print(f"{failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Records what real clients send to the dialects of the server: tests/fixtures/clients/*.request.

    python tools/reference/record_clients.py tests/fixtures/clients

Needs the packages openai, webuiapi and pillow. Each file is the request line, its content type, an
empty line and the body's bytes, as tests/http reads them. The recorder answers {} to everything, so
clients fail behind the request: that is expected.
"""

import argparse
import http.server
import io
import pathlib
import threading

import openai
import webuiapi
from PIL import Image


class Recorder(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    recorded = []

    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        Recorder.recorded.append(
            (self.command, self.path, self.headers.get("content-type") or "", body))
        scripts = b'{"txt2img": [], "img2img": []}'
        out = scripts if self.path.endswith("/scripts") else b"{}"
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(out)))
        self.end_headers()
        self.wfile.write(out)

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


def png(mode, color, name="image.png", size=(16, 16)):
    file = io.BytesIO()
    Image.new(mode, size, color).save(file, "PNG")
    file.seek(0)
    file.name = name
    return file


def cases(port):
    """Name and call of each recorded request."""
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="key", max_retries=0)
    images = client.images
    yield "openai_generate_least", lambda: images.generate(prompt="a red apple")
    yield "openai_generate_all", lambda: images.generate(
        model="m", prompt="a red apple", n=2, size="512x768", quality="high",
        response_format="url", output_format="webp", output_compression=80,
        background="opaque", moderation="low", style="vivid", user="u",
        extra_body={"seed": 5, "negative_prompt": "blurry", "guidance_scale": 4.5})
    yield "openai_generate_stream", lambda: list(
        images.generate(prompt="a red apple", stream=True, partial_images=2))
    yield "openai_edit_mask", lambda: images.edit(
        image=png("RGB", "red"), prompt="12", mask=png("RGBA", (0, 0, 0, 0), "mask.png"), n=2,
        size="512x512", extra_body={"steps": 3, "strength": 0.5, "hires": {"scale": 2}})
    yield "openai_edit_list", lambda: list(
        images.edit(image=[png("RGB", "red")], prompt="green", stream=True, partial_images=1))
    yield "openai_edit_two", lambda: images.edit(
        image=[png("RGB", "red"), png("RGB", "blue")], prompt="both")

    ui = webuiapi.WebUIApi(host="127.0.0.1", port=port)
    red, white = Image.new("RGB", (16, 16), "red"), Image.new("L", (16, 16), 255)
    yield "a1111_txt2img_least", lambda: ui.txt2img(prompt="a red apple")
    yield "a1111_txt2img_all", lambda: ui.txt2img(
        prompt="(apple:1.2)", negative_prompt="bad", seed=7, subseed=9, subseed_strength=0.2,
        sampler_name="DPM++ 2M", scheduler="Karras", batch_size=2, n_iter=2, steps=8, cfg_scale=5,
        width=256, height=320, enable_hr=True, hr_scale=1.5,
        hr_upscaler=webuiapi.HiResUpscaler.Latent, denoising_strength=0.6, styles=["film"],
        override_settings={"CLIP_stop_at_last_layers": 2, "sd_model_checkpoint": "M.safetensors"})
    yield "a1111_img2img", lambda: ui.img2img(
        images=[red], prompt="p", denoising_strength=0.4, width=20, height=16, resize_mode=1)
    yield "a1111_inpaint", lambda: ui.img2img(
        images=[red], mask_image=white, prompt="p", inpainting_fill=1, inpaint_full_res=False,
        mask_blur=2, inpainting_mask_invert=1, width=16, height=16)
    yield "a1111_adetailer", lambda: ui.txt2img(prompt="p", adetailer=[webuiapi.ADetailer()])
    yield "a1111_upscale", lambda: ui.extra_single_image(
        red, upscaler_1="R-ESRGAN 4x+", upscaling_resize=2)
    yield "a1111_options", lambda: ui.set_options({"sd_model_checkpoint": "m"})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name, call in cases(server.server_port):
        Recorder.recorded.clear()
        try:
            call()
        except Exception:  # the answer {} satisfies no client
            pass
        method, path, content_type, body = Recorder.recorded[-1]
        head = f"{method} {path}\ncontent-type: {content_type}\n\n".encode()
        (folder / f"{name}.request").write_bytes(head + body)
        print(name, len(body))


if __name__ == "__main__":
    main()

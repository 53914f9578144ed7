"""Drives the page in headless Chromium and checks what a person would: drawing, cancelling, masks,
the keyboard, a phone's width, names for screen readers, contrast, and that nothing goes elsewhere.

    python tools/web/drive_page.py                        # against tools/web/fake_server.py
    python tools/web/drive_page.py --url http://127.0.0.1:8188/   # against `tintype serve`
    python tools/web/drive_page.py --screenshots out/page

Needs Playwright and Pillow from PyPI and Debian's chromium; ends with 77 (skipped) without them. With
--url, checks that need the fake server's faults are left out and named.
"""

import argparse
import io
import json
import pathlib
import shutil
import sys
import time
import traceback
import urllib.request

SKIPPED = 77
try:
    from PIL import Image
    from playwright.sync_api import expect, sync_playwright
except ImportError as missing:
    print(f"skipped: {missing.name} is not installed (pip install playwright pillow)")
    sys.exit(SKIPPED)

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import fake_server  # noqa: E402
import page_audit  # noqa: E402

SECONDS = 1000  # Playwright counts milliseconds
PATIENCE = {"fake": 30 * SECONDS, "real": 90 * SECONDS}  # for one thing to happen
CHECKS = []


def check(only_fake=False):
    """Registers a check; its docstring is what it says."""
    def register(function):
        CHECKS.append((function, only_fake))
        return function
    return register


class Driver:
    """A browser context on the page, with everything that went wrong in it."""

    def __init__(self, browser, url, patience=PATIENCE["fake"], **options):
        self.url = url
        options.setdefault("viewport", {"width": 1440, "height": 900})
        self.context = browser.new_context(accept_downloads=True, **options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(patience)
        self.complaints, self.requests = [], []
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def _console(self, message):
        # Refused requests are expected where a check provokes them; scripts' own errors never are.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            self.complaints.append(f"{message.type}: {message.text}")

    def __enter__(self):
        self.page.goto(self.url)
        expect(self.page.locator("#model option").first).to_be_attached()
        return self

    def __exit__(self, *_):
        self.context.close()

    def api(self, path):
        with urllib.request.urlopen(self.url.rstrip("/") + path) as answer:
            body = answer.read()
        return json.loads(body) if body[:1] in b"{[" else body

    def job(self):
        """The job on the stage, as the server has it."""
        fragment = self.page.evaluate("location.hash")
        return self.api(f"/v1/jobs/{fragment.split('=')[1].split('/')[0]}")

    def draw(self, prompt="red apple", steps=6, **fields):
        """Fills the form, generates, and leaves when the job is on the stage."""
        page = self.page
        for section in page.locator("details.section:not([open]) > summary").all():
            if section.is_visible():
                section.click()
        before = page.evaluate("location.hash")
        page.fill("#prompt", prompt)
        page.fill("#steps", str(steps))
        for name, value in fields.items():
            page.fill(f"#{name}", str(value))
        page.click("#generate")
        page.wait_for_function("before => location.hash && location.hash !== before", arg=before)

    def wait_done(self):
        expect(self.page.locator(".plate")).to_have_attribute("data-state", "succeeded")
        self.page.wait_for_function(
            "() => { const image = document.querySelector('.plate img');"
            " return image?.complete && image.naturalWidth > 0; }")


def picture_bytes(size=(128, 128), colour=(60, 120, 200)):
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    return buffer.getvalue()


def give_picture(page, **options):
    page.set_input_files("#picture-file", {"name": "in.png", "mimeType": "image/png",
                                           "buffer": picture_bytes(**options)})
    expect(page.locator("#from-picture")).to_be_visible()


@check()
def draws_with_previews(driver):
    """a prompt becomes previews, then a picture on the stage and in the gallery"""
    page = driver.page
    driver.draw(steps=25)
    page.wait_for_function("() => document.querySelector('.plate img')?.src.startsWith('data:image/')")
    assert 0 < page.evaluate("document.querySelector('progress').value") <= 1
    driver.wait_done()
    job = driver.job()
    assert job["request"]["prompt"] == "red apple" and job["request"]["steps"] == 25, job["request"]
    assert page.locator(".plate img").evaluate("i => i.naturalWidth") == job["results"][0]["width"]
    expect(page.locator(f"[aria-current=true] img[data-path='{job['results'][0]['url']}']")).to_be_visible()
    expect(page.locator("#announcer")).to_contain_text("Done")


@check()
def cancels(driver):
    """Escape cancels what is being drawn"""
    page = driver.page
    driver.draw(steps=150)
    expect(page.locator(".plate")).to_have_attribute("data-state", "running")
    page.keyboard.press("Escape")
    expect(page.locator(".plate")).to_have_attribute("data-state", "cancelled")
    assert driver.job()["state"] == "cancelled"
    driver.draw(steps=150)
    page.click("[data-act=cancel]")
    expect(page.locator(".plate")).to_have_attribute("data-state", "cancelled")


@check()
def reuses_settings(driver):
    """"reuse settings" brings everything back, "vary seed" draws another"""
    page = driver.page
    page.fill("#negative", "blurry")
    driver.draw("panda", steps=5, guidance_scale=2.5, seed="18446744073709551557")
    driver.wait_done()
    first = driver.job()
    page.click("#reset-settings")
    page.fill("#prompt", "something else")
    assert page.input_value("#steps") == "" and page.input_value("#seed") == ""
    page.click("[data-act=reuse]")
    expect(page.locator("#prompt")).to_have_value("panda")
    for name, value in {"#steps": "5", "#guidance_scale": "2.5", "#negative": "blurry",
                        "#seed": "18446744073709551557"}.items():
        assert page.input_value(name) == value, (name, page.input_value(name))
    page.click("[data-act=vary]")
    page.wait_for_function("id => !location.hash.includes(id)", arg=first["id"])
    driver.wait_done()
    assert driver.job()["request"]["seed"] != first["request"]["seed"]


@check()
def draws_many(driver):
    """several pictures of one job can be looked at one by one"""
    page = driver.page
    driver.draw("fox", steps=4, count=3)
    driver.wait_done()
    page.fill("#count", "1")
    expect(page.locator(".strip-plate")).to_have_count(3)
    page.click(".strip-plate >> nth=2")
    assert page.evaluate("location.hash").endswith("/2")
    settings = page.locator(".settings").inner_text()
    assert str(driver.job()["info"][2]["seed"]) in settings, settings


@check()
def starts_from_a_picture(driver):
    """a dropped and a pasted picture and a result become the input of img2img"""
    page = driver.page
    for kind in ("drop", "paste"):
        page.evaluate("""async ([kind, bytes]) => {
          const data = new DataTransfer();
          data.items.add(new File([new Uint8Array(bytes)], 'in.png', { type: 'image/png' }));
          if (kind === 'drop') window.dispatchEvent(new DragEvent('drop', { dataTransfer: data, cancelable: true }));
          else document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data }));
        }""", [kind, list(picture_bytes())])
        expect(page.locator("#from-picture")).to_be_visible()
        page.click("#drop-picture")
        expect(page.locator("#from-picture")).to_be_hidden()
    driver.draw("owl", steps=3)
    driver.wait_done()
    page.click("[data-act=input]")
    expect(page.locator("#from-picture")).to_be_visible()
    driver.draw("owl", steps=6, strength=0.5)
    driver.wait_done()
    job = driver.job()
    assert job["request"]["type"] == "img2img" and job["request"]["strength"] == 0.5, job["request"]
    assert Image.open(io.BytesIO(driver.api(f"/v1/jobs/{job['id']}/inputs/0"))).size == (128, 128)
    page.click("#drop-picture")


@check()
def paints_a_mask(driver):
    """a painted mask arrives as painted: pure black and white, of the picture's size"""
    page = driver.page
    give_picture(page, size=(96, 64))
    page.click("#paint-mask")
    box = page.locator("#mask-canvas").bounding_box()
    page.fill("#brush-size", "40")
    at = lambda x, y: (box["x"] + box["width"] * x, box["y"] + box["height"] * y)  # noqa: E731

    def stroke(x0, y0, x1, y1):
        page.mouse.move(*at(x0, y0))
        page.mouse.down()
        page.mouse.move(*at(x1, y1), steps=12)
        page.mouse.up()

    covered = """() => { const c = document.querySelector('#mask-canvas');
      const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
      let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 127; return n / (d.length / 4); }"""
    stroke(0.05, 0.2, 0.95, 0.2)
    once = page.evaluate(covered)
    stroke(0.2, 0.8, 0.8, 0.8)
    twice = page.evaluate(covered)
    assert 0 < once < twice, (once, twice)
    page.keyboard.press("Control+z")
    assert page.evaluate(covered) == once
    page.click("#mask-redo")
    assert page.evaluate(covered) == twice
    page.click("#mask-undo")
    page.click("#mask-invert")
    assert abs(page.evaluate(covered) - (1 - once)) < 0.02
    page.click("#mask-undo")
    page.click("label:has([value=eraser])")
    stroke(0.0, 0.2, 0.45, 0.2)
    if driver.shots:
        page.screenshot(path=driver.shots / "mask.png")
    page.click("#mask-done")
    expect(page.locator("#mask-dialog")).to_be_hidden()
    driver.draw("red apple", steps=4, strength=0.9)
    driver.wait_done()
    job = driver.job()
    assert job["request"]["type"] == "inpaint", job["request"]
    mask = Image.open(io.BytesIO(driver.api(f"/v1/jobs/{job['id']}/inputs/1"))).convert("L")
    assert mask.size == (96, 64), mask.size
    assert set(mask.tobytes()) == {0, 255}
    assert mask.getpixel((80, 13)) == 255, "painted"
    assert mask.getpixel((20, 13)) == 0, "erased"
    assert mask.getpixel((48, 51)) == 0, "undone"
    page.click("#drop-picture")


@check()
def paints_by_keyboard(driver):
    """the mask brush works without a pointer"""
    page = driver.page
    give_picture(page)
    page.focus("#paint-mask")
    page.keyboard.press("Enter")
    expect(page.locator("#mask-canvas")).to_be_focused()
    for _ in range(4):
        page.keyboard.press("]")
    page.keyboard.down(" ")
    for _ in range(6):
        page.keyboard.press("ArrowRight")
    page.keyboard.up(" ")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#paint-mask-label")).to_have_text("Change the mask")
    page.click("#drop-picture")


@check()
def works_by_keyboard(driver):
    """prompt, generate, actions and the gallery are reached by keys alone"""
    page = driver.page
    driver.draw("fox", steps=2)
    driver.wait_done()
    page.reload()
    expect(page.locator("#model option").first).to_be_attached()

    def tab_to(selector, limit=90):
        for _ in range(limit):
            page.keyboard.press("Tab")
            if page.evaluate("s => document.activeElement.matches(s)", selector):
                style = page.evaluate("""() => { const e = document.activeElement;
                  const s = getComputedStyle(e), a = getComputedStyle(e, '::after');
                  return s.outlineStyle !== 'none' || a.boxShadow !== 'none'; }""")
                assert style, f"{selector} has no visible focus"
                return
        raise AssertionError(f"Tab does not reach {selector}")

    before = page.evaluate("location.hash")
    tab_to("#prompt")
    page.keyboard.press("Control+a")
    page.keyboard.type("sailboat")
    page.keyboard.press("Control+Enter")
    page.wait_for_function("before => location.hash !== before", arg=before)
    driver.wait_done()
    assert driver.job()["request"]["prompt"] == "sailboat"
    tab_to("[data-act=reuse]")
    page.keyboard.press("Enter")
    expect(page.locator("#prompt")).to_be_focused()
    tab_to(".tile")
    chosen = page.evaluate("location.hash")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_function("chosen => location.hash !== chosen", arg=chosen)


@check()
def shows_errors_at_their_field(driver):
    """what the server refuses is said at the field that it is about"""
    page = driver.page
    driver.page.fill("#prompt", "fox")
    page.fill("#steps", "0")
    page.click("#generate")
    message = page.locator("#error-steps")
    expect(message).to_be_visible()
    assert page.locator("#steps").get_attribute("aria-invalid") == "true"
    assert page.locator("#steps").get_attribute("aria-describedby") == "error-steps"
    expect(page.locator("#steps")).to_be_focused()
    page.fill("#steps", "5")
    expect(message).to_be_hidden()


@check()
def draws_larger(driver):
    """a picture of the gallery is drawn over at twice its size"""
    page = driver.page
    driver.draw("cupcake", steps=4, seed="5")
    driver.wait_done()
    first = driver.job()
    page.click("[data-act=enlarge]")
    page.check("input[value=hires]")
    page.click("#enlarge-form button[type=submit]")
    page.wait_for_function("id => !location.hash.includes(id)", arg=first["id"])
    driver.wait_done()
    job = driver.job()
    assert job["request"]["hires"]["scale"] == 2 and str(job["request"]["seed"]) == "5", job["request"]
    assert job["results"][0]["width"] == 2 * first["results"][0]["width"]
    if driver.api("/v1/upscalers")["data"]:
        page.click("[data-act=enlarge]")
        page.check("input[value=upscale]")
        page.click("#enlarge-form button[type=submit]")
        page.wait_for_function("id => !location.hash.includes(id)", arg=job["id"])
        driver.wait_done()
        assert driver.job()["request"]["type"] == "upscale"


@check()
def takes_adapters(driver):
    """an adapter with its weight is part of the request"""
    page = driver.page
    names = [one["name"] for one in driver.api("/v1/adapters")["data"]]
    if not names:
        return
    driver.draw("fox", steps=2)
    page.select_option("#add-adapter", names[0])
    page.fill(f"[aria-label='Weight of {names[0]}']", "0.6")
    driver.draw("fox", steps=3)
    driver.wait_done()
    assert driver.job()["request"]["adapters"][0]["name"] == names[0]
    assert driver.job()["request"]["adapters"][0]["weight"] == 0.6
    page.click(f"[aria-label='Remove {names[0]}']")


@check()
def downloads_and_deletes(driver):
    """a picture is saved under a name that says what it is, and deleted after asking"""
    page = driver.page
    driver.draw("house with garden", steps=3, seed="12")
    driver.wait_done()
    with page.expect_download() as saved:
        page.click("[data-act=download]")
    assert saved.value.suggested_filename == "house-with-garden-12.png", saved.value.suggested_filename
    assert Image.open(saved.value.path()).size == (128, 128)
    job = driver.job()
    tile = page.locator(f"#gallery-list img[data-path='{job['results'][0]['url']}']")
    page.click("[data-act=delete]")
    expect(tile).to_have_count(1)
    page.click("[data-act=delete]")
    expect(tile).to_have_count(0)
    assert all(other["id"] != job["id"] for other in driver.api("/v1/jobs?limit=50")["data"])


@check()
def survives_a_reload(driver):
    """a page loaded anew in the midst of a job shows it, and what was entered"""
    page = driver.page
    driver.draw("rocket", steps=60)
    page.reload()
    expect(page.locator(".plate")).to_have_attribute("data-state", "running")
    expect(page.locator("#queue-list .queue-name").first).to_have_text("rocket")
    expect(page.locator("#prompt")).to_have_value("rocket")
    driver.wait_done()
    expect(page.locator("#queue")).to_be_hidden()


@check(only_fake=True)
def comes_back_after_a_loss(driver):
    """a lost connection is said, and made good by itself with what happened meanwhile"""
    page = driver.page
    driver.draw("owl", steps=60)
    for path, body in (("/fake/offline", b'{"seconds": 2.5}'), ("/fake/drop", b"{}")):
        urllib.request.urlopen(driver.url.rstrip("/") + path, data=body)
    expect(page.locator("#connection.lost")).to_be_visible()
    expect(page.locator("#connection")).to_contain_text("Next try")
    expect(page.locator("#connection")).to_have_text("")
    driver.wait_done()


@check()
def sees_other_pages(driver):
    """a job submitted elsewhere shows up here"""
    page = driver.page
    before = page.locator(".tile").count()
    body = json.dumps({"type": "txt2img", "prompt": "butterfly", "steps": 3}).encode()
    request = urllib.request.Request(driver.url.rstrip("/") + "/v1/jobs", data=body,
                                     headers={"Content-Type": "application/json"})
    urllib.request.urlopen(request)
    expect(page.locator(".tile")).to_have_count(before + 1)


@check()
def names_and_contrast(driver):
    """every control has a name for screen readers, every text enough contrast, dark and light"""
    page = driver.page
    for section in page.locator("details:not([open]) > summary").all():
        if section.is_visible():
            section.click()
    give_picture(page)
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # no colours on their way
        page.wait_for_timeout(300)
        problems = page_audit.contrast_problems(page)
        assert not problems, f"{scheme}: {problems[:6]}"
    problems = page_audit.unnamed_controls(page)
    assert not problems, problems
    for opener, dialog in (("#open-key", "#key-dialog"), ("#paint-mask", "#mask-dialog")):
        page.click(opener)
        problems = page_audit.unnamed_controls(page)
        assert not problems, problems
        page.keyboard.press("Escape")
        expect(page.locator(dialog)).to_be_hidden()
    page.click("#drop-picture")
    page.click("#toggle-theme")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.click("#toggle-theme")
    page.emulate_media(reduced_motion="no-preference")


@check()
def fits_a_phone(driver):
    """nothing scrolls sideways at 390 and 320 px, and targets are large enough for a finger"""
    page = driver.page
    for width in (390, 320):
        page.set_viewport_size({"width": width, "height": 844})
        page.reload()
        expect(page.locator("#model option").first).to_be_attached()
        for opened in (False, True):
            if opened:
                for section in page.locator("details:not([open]) > summary").all():
                    if section.is_visible():
                        section.click()
            overflow = page.evaluate("document.scrollingElement.scrollWidth - innerWidth")
            assert overflow <= 0, f"{overflow} px too wide at {width}, sections open: {opened}"
    small = page_audit.small_targets(page)
    assert not small, small
    give_picture(page)
    page.click("#paint-mask")
    assert page.evaluate("document.querySelector('#mask-dialog').scrollWidth <= innerWidth")
    page.keyboard.press("Escape")
    page.click("#drop-picture")
    page.set_viewport_size({"width": 1440, "height": 900})


@check(only_fake=True)
def asks_for_a_key(driver):
    """a server with keys is asked with one: the dialog appears, events and pictures come"""
    server = fake_server.start(key="secret", step_seconds=0.02)
    url = f"http://127.0.0.1:{server.server_address[1]}/"
    context = driver.context.browser.new_context()
    page = context.new_page()
    page.goto(url)
    expect(page.locator("#key-dialog")).to_be_visible()
    page.fill("#key", "secret")
    page.keyboard.press("Enter")
    expect(page.locator("#model option").first).to_be_attached()
    expect(page.locator("#key-dialog")).to_be_hidden()
    page.fill("#prompt", "fox")
    page.keyboard.press("Control+Enter")
    page.wait_for_function("() => document.querySelector('.plate[data-state=succeeded] img')?.src.startsWith('blob:')")
    expect(page.locator(".tile img[src^=blob]")).to_have_count(1)
    context.close()
    server.shutdown()


@check(only_fake=True)
def pages_through_the_gallery(driver):
    """older pictures come when asked for"""
    server = fake_server.start(step_seconds=0)
    for number in range(45):
        server.jobs.submit({"type": "txt2img", "prompt": f"plate {number}", "steps": 1}, None)
        time.sleep(0.002)  # ids are times
    limit = time.monotonic() + 30
    while any(job["state"] != "succeeded" for job in list(server.jobs.jobs.values())):
        assert time.monotonic() < limit, "the fake server stands still"
        time.sleep(0.05)
    context = driver.context.browser.new_context()
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{server.server_address[1]}/")
    expect(page.locator(".tile")).to_have_count(40)
    page.click("#older")
    expect(page.locator(".tile")).to_have_count(45)
    expect(page.locator("#older")).to_be_hidden()
    context.close()
    server.shutdown()


@check()
def reads_streams_cut_anywhere(driver):
    """events are the same however the network cuts them; long seeds keep their digits"""
    driver.page.evaluate("""async () => {
      const { EventParser } = await import('./event_stream.js');
      const { parseJson } = await import('./api.js');
      const text = ': hello\\r\\n\\nid: 7\\r\\nevent: job\\r\\ndata: {"a":\\r\\ndata: 1}\\r\\n\\r\\ndata:x\\n\\n\\nid: 8\\n\\ndata: cut';
      const wanted = JSON.stringify([{ data: '{"a":\\n1}', id: '7', type: 'job' },
        { data: 'x', id: null, type: 'message' }]);
      for (let size = 1; size <= text.length; ++size) {
        const events = [];
        const parser = new EventParser((event) => events.push(event));
        for (let at = 0; at < text.length; at += size) parser.push(text.slice(at, at + size));
        const got = JSON.stringify(events);
        if (got !== wanted) throw new Error(`pieces of ${size}: ${got}`);
      }
      const prompt = 'say "seed": 12345678901234567890';
      const read = parseJson(JSON.stringify({ prompt, steps: 3 }).replace('3}', '3,"seed":18446744073709551615}'));
      if (read.prompt !== prompt || read.seed !== '18446744073709551615') throw new Error(JSON.stringify(read));
    }""")


@check()
def keeps_to_itself(driver):
    """nothing was asked of another server, the policy is strict, the console is clean"""
    base = driver.url.rstrip("/")
    outside = [url for url in driver.requests if not url.startswith((base, "data:", "blob:"))]
    assert not outside, outside[:5]
    with urllib.request.urlopen(driver.url) as answer:
        policy = answer.headers.get("Content-Security-Policy", "")
    assert "default-src 'self'" in policy and "unsafe" not in policy, policy
    assert not driver.complaints, driver.complaints[:5]


def take_screenshots(browser, url, folder):
    """Desktop dark and light, and a phone, as they stand."""
    for name, scheme, width, height in (("dark", "dark", 1440, 900), ("light", "light", 1440, 900),
                                        ("phone", "light", 390, 844)):
        with Driver(browser, url, color_scheme=scheme, viewport={"width": width, "height": height},
                    device_scale_factor=2 if name == "phone" else 1) as driver:
            driver.page.fill("#prompt", "a red sailboat on a calm sea")
            driver.page.evaluate("document.activeElement.blur()")
            driver.page.wait_for_timeout(1200)
            driver.page.screenshot(path=folder / f"{name}.png")
            if name == "phone":
                driver.page.locator("#stage").scroll_into_view_if_needed()
                driver.page.evaluate("document.querySelector('#stage').scrollIntoView()")
                driver.page.wait_for_timeout(600)
                driver.page.screenshot(path=folder / "phone-stage.png")


def run_checks(driver, faults, wanted):
    failed = []
    for function, only_fake in CHECKS:
        if wanted and wanted not in function.__name__:
            continue
        if only_fake and not faults:
            print(f"left out  {function.__doc__} (needs the fake server)")
            continue
        started = time.monotonic()
        try:
            function(driver)
            print(f"ok        {function.__doc__} ({time.monotonic() - started:.1f} s)", flush=True)
        except Exception:
            failed.append(function.__name__)
            print(f"FAILED    {function.__doc__}\n{traceback.format_exc(limit=3)}", flush=True)
            if driver.shots:
                driver.page.screenshot(path=driver.shots / f"failed-{function.__name__}.png")
            driver.page.goto("about:blank")
            driver.page.set_viewport_size({"width": 1440, "height": 900})
            driver.page.goto(driver.url)
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", help="a running server (default: the fake one)")
    parser.add_argument("--pictures", help="of the fake server: folder of PNG files named by prompt")
    parser.add_argument("--screenshots", type=pathlib.Path, help="folder to write pictures to")
    parser.add_argument("--only", default="", help="checks whose name contains this")
    arguments = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if not chromium:
        print("skipped: chromium is not installed (apt-get install chromium)")
        sys.exit(SKIPPED)
    url = arguments.url
    if not url:
        server = fake_server.start(pictures=arguments.pictures)
        url = f"http://127.0.0.1:{server.server_address[1]}/"
    if arguments.screenshots:
        arguments.screenshots.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        patience = PATIENCE["real" if arguments.url else "fake"]
        expect.set_options(timeout=patience)
        with Driver(browser, url, patience) as driver:
            driver.shots = arguments.screenshots
            failed = run_checks(driver, faults=not arguments.url, wanted=arguments.only)
        if arguments.screenshots:
            take_screenshots(browser, url, arguments.screenshots)
        browser.close()
    print(f"failed: {', '.join(failed)}" if failed else "all checks passed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

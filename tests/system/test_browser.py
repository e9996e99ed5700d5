# SPDX-License-Identifier: Apache-2.0
"""The status page in a real browser: on a phone and on a desk, light and dark, scripts off; what a container chooses
stays text. With DEFUSED_WRITE_DOCS=1 the screenshots of docs/images are made anew."""
import os
import shutil
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab"))
from alert_situations import ContainerCgroup  # noqa: E402
from browser import Browser  # noqa: E402
from daemon import REPO, Daemon, mount_fusectl, wait_until  # noqa: E402
from lab import Lab  # noqa: E402

PHONE, DESK = (360, 740), (1280, 900)
VIEWS = [(*size, scheme) for size in (PHONE, DESK) for scheme in ("light", "dark")]
IMAGES = os.path.join(REPO, "docs", "images")
MAX_IMAGE_BYTES = 250_000
IMAGE_HEIGHTS = {PHONE[0]: 1700, DESK[0]: 1040}  # down to the end of the picture
STUCK = 'defused_stuck_pid_namespaces{wait_class="fuse_flush",verdict="deadlocked"}'

# What a person sees, as numbers. It runs by itself in a page whose own scripts are off: WebDriver may, the page may not.
MEASURE = r"""
const parse = text => {
  const parts = text.match(/[\d.]+/g).map(Number);
  return {rgb: parts.slice(0, 3), alpha: parts.length > 3 ? parts[3] : 1};
};
const luminance = rgb => {
  const [r, g, b] = rgb.map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const contrast = (a, b) => {
  const [x, y] = [luminance(a), luminance(b)].sort((m, n) => n - m);
  return (x + 0.05) / (y + 0.05);
};
const ground = element => {
  if (element.namespaceURI.endsWith("svg")) {
    const box = element.closest("g") && element.closest("g").querySelector("rect");
    if (box) return parse(getComputedStyle(box).fill).rgb;
  }
  for (let e = element; e; e = e.parentElement) {
    const colour = parse(getComputedStyle(e).backgroundColor);
    if (colour.alpha === 1) return colour.rgb;
    if (colour.alpha !== 0) throw new Error("half transparent: " + e.outerHTML.slice(0, 200));
  }
  return [255, 255, 255];
};
const texts = [];
const take = (text, element, style) => {
  const fill = element.namespaceURI.endsWith("svg") ? style.fill : style.color;
  let size = parseFloat(style.fontSize);
  const svg = element.closest("svg.picture");
  if (svg) size *= svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
  texts.push({text: text.slice(0, 60), size, contrast: contrast(parse(fill).rgb, ground(element))});
};
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || ["STYLE", "title", "desc"].includes(element.tagName)) continue;
  take(walker.currentNode.data, element, getComputedStyle(element));
}
for (const cell of document.querySelectorAll("[data-label]")) {
  const style = getComputedStyle(cell, "::before");
  if (style.content !== "none") take("label " + cell.dataset.label, cell, style);
}
const seen = element => {
  const box = element.getBoundingClientRect();
  return {tag: element.tagName + "." + element.getAttribute("class"), text: element.textContent.slice(0, 60),
          left: box.left, right: box.right, width: box.width, height: box.height};
};
const inner = [...document.body.querySelectorAll("*")].filter(e => !e.closest("svg") && !e.closest("thead"));
const boxes = [...document.querySelectorAll("svg.picture svg")].flatMap(box => [...box.querySelectorAll("text")].filter(
  text => text.getBBox().x + text.getBBox().width > box.width.baseVal.value).map(text => text.textContent));
return {
  scroll: document.documentElement.scrollWidth, inner: innerWidth, texts,
  outside: inner.map(seen).filter(b => b.width > 0 && (b.left < -0.5 || b.right > innerWidth + 0.5)),
  pictures: [...document.querySelectorAll("svg.picture")].map(seen), cut: boxes,
  resources: performance.getEntriesByType("resource").map(r => r.name),
  scripts: document.querySelectorAll("script, iframe, object, embed, img, image, link, form").length,
  handlers: [...document.querySelectorAll("*")].filter(e => [...e.attributes].some(a => a.name.startsWith("on"))).length,
  background: getComputedStyle(document.body).backgroundColor,
  text: document.body.innerText, title: document.title,
};
"""


class StatusPage(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        mount_fusectl()
        for program in ("chromium", "chromedriver"):
            if not shutil.which(program):
                raise AssertionError(f"{program} is not installed (cmake/packages.txt)")

    def check_seen(self, browser, url, width, height, scheme):
        """Loads the page, measures it, and returns what was measured."""
        browser.log("browser")
        browser.requests()
        browser.show(url, width, height, scheme)
        seen = browser.run(MEASURE)
        where = f"{width}x{height} {scheme}: "
        self.assertEqual(seen["inner"], width, where)
        self.assertLessEqual(seen["scroll"], width, where + "the page scrolls sideways")
        self.assertEqual(seen["outside"], [], where)
        self.assertGreater(len(seen["texts"]), 20, where)
        for text in seen["texts"]:
            self.assertGreaterEqual(text["contrast"], 4.5, where + str(text))
            self.assertGreaterEqual(text["size"], 12, where + str(text))
        for picture in seen["pictures"]:
            self.assertGreater(min(picture["width"], picture["height"]), 200, where + str(picture))
        self.assertEqual((seen["scripts"], seen["handlers"], seen["resources"]), (0, 0, []), where)
        dark = sum(int(part) for part in seen["background"][4:-1].split(",")) < 3 * 128
        self.assertEqual(dark, scheme == "dark", where + seen["background"])
        self.assertIsNone(browser.alert(), where)
        self.assertEqual([entry["message"] for entry in browser.log("browser") if "favicon" not in entry["message"]], [])
        asked = [address for address in browser.requests() if not address.endswith("/favicon.ico")]
        self.assertEqual(set(asked), {url}, where)
        return seen

    def check_views(self, browser, url, name):
        """All four views; what the last one shows."""
        for width, height, scheme in VIEWS:
            seen = self.check_seen(browser, url, width, height, scheme)
            self.take_picture(browser, name, width, scheme)
        return seen

    def take_picture(self, browser, name, width, scheme):
        """A PNG that is not empty, into docs/images where it is asked for."""
        if not name:
            return
        suffix = ("-phone" if width == PHONE[0] else "") + ("-dark" if scheme == "dark" else "")
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "page.png")
            browser.picture(path, IMAGE_HEIGHTS[width])
            self.assertLess(5_000, os.path.getsize(path))
            if os.environ.get("DEFUSED_WRITE_DOCS"):
                self.assertLess(os.path.getsize(path), MAX_IMAGE_BYTES)
                os.makedirs(IMAGES, exist_ok=True)
                shutil.copyfile(path, os.path.join(IMAGES, f"status-{name}{suffix}.png"))

    def test_healthy(self):
        with Lab("healthy") as lab, Daemon() as daemon, Browser() as browser:
            wait_until(lambda: f">{lab.truth['connection']}<" in daemon.get("/")[1], 15, daemon.log())
            seen = self.check_views(browser, daemon.address + "/", "healthy")
            self.assertIn("Healthy: nothing is stuck", seen["text"])
            self.assertTrue(seen["title"].startswith("Healthy: nothing is stuck - "), seen["title"])
            self.assertEqual(seen["pictures"], [])

    def test_stuck(self):
        """A real deadlock: the page tells who waits for what, and names the command that ends it."""
        with ContainerCgroup() as container, \
                Lab("flush_thread", wrapper=container.wrapper, fstype="s3fs", source="models", comm="s3fs") as lab, \
                Daemon(detect={"stuck_after": "2s"}) as daemon, Browser() as browser:
            wait_until(lambda: daemon.metric(STUCK) == 1, 20, daemon.log())
            if os.environ.get("DEFUSED_WRITE_DOCS"):
                time.sleep(65)  # a picture of what people meet
            seen = self.check_views(browser, daemon.address + "/", "stuck")
            text = seen["text"]
            self.assertIn("1 PID namespace cannot die", text)
            truth = lab.truth
            for part in (f"defused explain namespace:{truth['pid_namespace']}", f"docker {container.id[:12]}", "deadlocked",
                         "fuse_flush", "request_wait_answer", f"connection {truth['connection']}"):
                self.assertIn(part, text)
            self.assertEqual(len(seen["pictures"]), 1)
            self.assertEqual(seen["cut"], [], "text that does not fit into its box")
            words = browser.run("return document.querySelector('svg.picture desc').textContent")
            for part in (f"init, process {truth['init']['pid']} ", f"process {truth['blocked']['pid']} ",
                         f"connection {truth['connection']} "):
                self.assertIn(part, words)

    def test_hostile_names_stay_text(self):
        with Lab("hostile") as lab, Daemon(detect={"stuck_after": "2s"}) as daemon, Browser() as browser:
            wait_until(lambda: daemon.metric(STUCK) == 1, 20, daemon.log())
            url = daemon.address + "/"
            seen = self.check_views(browser, url, "")
            self.assertIn("<script>", seen["text"])
            self.assertIn(str(lab.truth["pid_namespace"]), seen["text"])
            # With scripts allowed as well: the policy and the escaping hold without that switch.
            browser.cdp("Emulation.setScriptExecutionDisabled", value=False)
            browser.command("POST", "/url", {"url": url})
            self.assertIsNone(browser.alert())
            again = browser.run(MEASURE)
            self.assertEqual((again["scripts"], again["handlers"], again["resources"]), (0, 0, []))
            self.assertEqual([entry["message"] for entry in browser.log("browser") if "favicon" not in entry["message"]], [])

    def test_the_checks_see_what_they_look_for(self):
        """A page with each of the faults: the measuring finds them."""
        with tempfile.TemporaryDirectory() as directory, Browser() as browser:
            path = os.path.join(directory, "bad.html")
            with open(path, "w", encoding="utf-8") as file:
                file.write("<!doctype html><body style='color:#999;background:#fff;font-size:11px'>pale and small"
                           "<p style='width:5000px'>wide<script>alert(1)</script><img src=x onerror=1>"
                           "<svg class=picture viewBox='0 0 300 9'><svg width=5 height=9><text>long</text></svg></svg>")
            browser.show(f"file://{path}", *PHONE, "light")
            seen = browser.run(MEASURE)
            self.assertGreater(seen["scroll"], 360)
            self.assertTrue(any(text["contrast"] < 4.5 and text["size"] < 12 for text in seen["texts"]), seen["texts"])
            self.assertTrue(seen["outside"])
            self.assertEqual((seen["scripts"], seen["handlers"], seen["cut"]), (2, 1, ["long"]))


if __name__ == "__main__":
    unittest.main()

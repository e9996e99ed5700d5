# SPDX-License-Identifier: Apache-2.0
"""`Browser()`: Debian's Chromium without a window, driven by chromedriver over plain WebDriver HTTP.

Every wait has a deadline; the driver and what it started end by PID with the context."""
import base64
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

from daemon import SLOW, children_of, read_text, wait_until

SECONDS = 20  # of one command; starting a browser on a loaded machine takes the longest
ARGUMENTS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
             "--disable-extensions", "--disable-background-networking", "--disable-component-update", "--disable-sync",
             "--hide-scrollbars", "--force-device-scale-factor=1", "--no-proxy-server")


class Browser:
    """One session in a profile of its own. Names of hosts other than 127.0.0.1 lead nowhere."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="defused-browser-")
        self.driver = None
        self.session = None
        self.address = None

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _start(self):
        log = os.path.join(self.directory, "driver.log")
        with open(log, "wb") as file:
            self.driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=file, stderr=file, stdin=subprocess.DEVNULL,
                                           start_new_session=True)
        found = wait_until(lambda: re.search(r"started successfully on port (\d+)", read_text(log)), SECONDS,
                           "chromedriver's port in its log")
        self.address = f"http://127.0.0.1:{found.group(1)}"
        profile = f"--user-data-dir={os.path.join(self.directory, 'profile')}"
        options = {"args": [*ARGUMENTS, profile, "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]}
        wanted = {"browserName": "chrome", "goog:chromeOptions": options,
                  "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}, "unhandledPromptBehavior": "ignore"}
        self.session = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]

    def __exit__(self, *_):
        if self.session:
            try:
                self.command("DELETE", "")
            except (OSError, AssertionError):
                pass  # it is killed below
        if self.driver:
            left = self._descendants(self.driver.pid)
            self.driver.terminate()
            try:
                self.driver.wait(5 * SLOW)
            except subprocess.TimeoutExpired:
                self.driver.kill()
                self.driver.wait(5)
            for pid, started in left:
                if self._start_of(pid) == started:
                    os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.directory, ignore_errors=True)

    @staticmethod
    def _start_of(pid):
        """Field 22 of `stat`: which process a PID is. Of our own children only: theirs cannot hang."""
        return read_text(f"/proc/{pid}/stat").rpartition(")")[2].split(" ")[20:21]

    def _descendants(self, pid):
        found = []
        for child in children_of(pid):
            found += [(child, self._start_of(child)), *self._descendants(child)]
        return found

    def _ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=SECONDS * SLOW) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.read().decode(errors='replace')[:2000]}") from None

    def command(self, method, path, body=None):
        return self._ask(method, f"/session/{self.session}{path}", body)

    def cdp(self, name, **parameters):
        """A command of the DevTools protocol."""
        return self.command("POST", "/goog/cdp/execute", {"cmd": name, "params": parameters})

    def run(self, script, *arguments):
        """The value that a script returns."""
        return self.command("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def show(self, url, width, height, scheme):
        """Loads a page in a window of that size, "light" or "dark", with its scripts off."""
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        self.cdp("Emulation.setEmulatedMedia", media="screen",
                 features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.cdp("Emulation.setScriptExecutionDisabled", value=True)
        self.command("POST", "/url", {"url": url})

    def picture(self, path, height):
        """A PNG of the page from its top down to `height`, or to its end."""
        size = self.cdp("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], height), "scale": 1}
        parameters = {"format": "png", "captureBeyondViewport": True, "clip": clip}
        with open(path, "wb") as file:
            file.write(base64.b64decode(self.cdp("Page.captureScreenshot", **parameters)["data"]))

    def log(self, kind):
        """What was logged since the last time it was asked for: "browser" (console, violations) or "performance"."""
        return self.command("POST", "/se/log", {"type": kind})

    def requests(self):
        """The URLs that pages asked for since the last time; not what the browser's own empty page is made of."""
        out = []
        for entry in self.log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] != "Network.requestWillBeSent":
                continue
            if not message["params"]["documentURL"].startswith("chrome"):
                out.append(message["params"]["request"]["url"])
        return out

    def alert(self):
        """The text of a dialogue that is open, or None."""
        try:
            return self.command("GET", "/alert/text")
        except AssertionError as error:
            if "no such alert" in str(error):
                return None
            raise



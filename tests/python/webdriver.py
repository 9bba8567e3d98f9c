"""As much of WebDriver as the test of the page needs, with Chromium without a window, on urllib alone."""

import base64
import json
import re
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
KEYS = {"tab": "\ue004", "enter": "\ue007", "space": " ", "escape": "\ue00c"}


class WebDriverError(Exception):
    """What the browser answers when it cannot do something."""


def wait_for(what, probe, seconds=45):
    """Asks `probe` until it gives something true, and gives that. It may raise meanwhile."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            last = probe()
            if last:
                return last
        except (WebDriverError, OSError) as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what} (at last: {last!r})")
        time.sleep(0.05)


class Browser:
    """A driver process with one session. Ends both at the end of `with`."""

    def __init__(self, driver="chromedriver", binary=None):
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen([driver, "--port=0"], stdout=subprocess.PIPE, stderr=self.log, text=True)
        self.session = ""
        try:
            self.base = f"http://127.0.0.1:{self._port()}"
            options = {"args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                                "--force-device-scale-factor=1", "--hide-scrollbars", "--lang=en-GB"]}
            if binary:
                options["binary"] = binary
            capabilities = {"browserName": "chrome", "goog:chromeOptions": options,
                            "goog:loggingPrefs": {"browser": "ALL"}}
            answer = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})
            self.session = f"/session/{answer['sessionId']}"
        except BaseException:
            self.process.kill()
            raise

    def _port(self):
        for line in self.process.stdout:
            found = re.search(r"started successfully on port (\d+)", line)
            if found:
                return int(found[1])
        raise WebDriverError("chromedriver did not start")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self._ask("DELETE", self.session)
        except (WebDriverError, OSError):
            pass
        self.process.terminate()
        self.process.wait()

    def _ask(self, method, path, data=None):
        body = None if method != "POST" else json.dumps(data or {}).encode()
        request = urllib.request.Request(self.base + path, body, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            value = json.load(error)["value"]
            raise WebDriverError(f"{value['error']}: {value['message']}") from None

    def post(self, path, **data):
        return self._ask("POST", self.session + path, data)

    def get(self, path):
        return self._ask("GET", self.session + path)

    def go(self, url):
        self.post("/url", url=url)

    def url(self):
        return self.get("/url")

    def title(self):
        return self.get("/title")

    def script(self, text, *arguments):
        """The value of the body of a function; it may use `arguments`, and give a promise."""
        return self.post("/execute/sync", script=text, args=list(arguments))

    def find(self, selector):
        return self.post("/element", using="css selector", value=selector)[ELEMENT]

    def click(self, selector):
        self.post(f"/element/{self.find(selector)}/click")

    def type(self, selector, text):
        self.post(f"/element/{self.find(selector)}/value", text=text)

    def clear(self, selector):
        self.post(f"/element/{self.find(selector)}/clear")

    def text(self, selector):
        return self.script("return document.querySelector(arguments[0])?.innerText ?? ''", selector)

    def press(self, key):
        """Presses and releases a key, wherever the focus is."""
        key = KEYS.get(key, key)
        actions = [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        self.post("/actions", actions=[{"type": "key", "id": "keyboard", "actions": actions}])

    def screenshot(self, path=None, whole=False):
        """PNG of what is seen, or of the whole page."""
        if whole:
            size = self.devtools("Page.getLayoutMetrics")["cssContentSize"]
            data = self.devtools("Page.captureScreenshot", captureBeyondViewport=True,
                                 clip={**size, "scale": 1})["data"]
        else:
            data = self.get("/screenshot")
        png = base64.b64decode(data)
        if path:
            with open(path, "wb") as file:
                file.write(png)
        return png

    def devtools(self, command, **parameters):
        return self.post("/goog/cdp/execute", cmd=command, params=parameters)

    def size(self, width, height):
        self.devtools("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                      mobile=False)

    def media(self, **features):
        """For example scheme="dark", motion="reduce"."""
        names = {"scheme": "prefers-color-scheme", "motion": "prefers-reduced-motion"}
        self.devtools("Emulation.setEmulatedMedia",
                      features=[{"name": names[key], "value": value} for key, value in features.items()])

    def console(self):
        """What the console has got since the last call."""
        return self.post("/se/log", type="browser")

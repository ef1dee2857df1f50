# devtools - a headless Chromium driven over its DevTools pipe, with nothing but the standard library
import base64, fcntl, json, os, select, shutil, subprocess, tempfile, time


class Failed(Exception):
    pass


class Browser:
    """One page; everything that the console, the security policy or the network says is in .said and .requests."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="chromium.")
        down, self.w = os.pipe()
        self.r, up = os.pipe()
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (down, up)]  # not among 3 and 4
        self.process = subprocess.Popen(
            ["bash", "-c", 'exec "$0" "$@" 3<&%d 4>&%d' % tuple(high), "chromium", "--headless", "--no-sandbox",
             "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars",
             "--user-data-dir=" + self.dir, "--remote-debugging-pipe"],
            pass_fds=high, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for fd in high:
            os.close(fd)
        os.close(down)
        os.close(up)
        self.buffer, self.n, self.session = b"", 0, None
        self.said, self.requests, self.events = [], [], []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")

    def close(self):
        try:
            self.session = None
            self.call("Browser.close", timeout=5)
        except Failed:
            pass
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
        os.close(self.w)
        os.close(self.r)
        shutil.rmtree(self.dir, ignore_errors=True)

    def _message(self, end):
        while b"\0" not in self.buffer:
            if not select.select([self.r], [], [], max(0, end - time.time()))[0]:
                raise Failed("chromium does not answer")
            got = os.read(self.r, 1 << 20)
            if not got:
                raise Failed("chromium ended")
            self.buffer += got
        raw, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(raw)

    def _event(self, m):
        method, p = m.get("method"), m.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.said.append("exception: " + json.dumps(p)[:400])
        elif method == "Runtime.consoleAPICalled":
            self.said.append("console: " + json.dumps(p.get("args"))[:400])
        elif method == "Log.entryAdded":
            self.said.append("log: " + json.dumps(p["entry"])[:400])
        elif method == "Network.requestWillBeSent":
            self.requests.append(p["request"]["url"])
        elif method == "Page.javascriptDialogOpening":
            self.said.append("dialog: " + p.get("message", ""))
        self.events.append(method)

    def call(self, method, timeout=60, **params):
        self.n += 1
        m = {"id": self.n, "method": method, "params": params}
        if self.session:
            m["sessionId"] = self.session
        os.write(self.w, json.dumps(m).encode() + b"\0")
        end = time.time() + timeout
        while True:
            got = self._message(end)
            if got.get("id") == m["id"]:
                if "error" in got:
                    raise Failed(method + ": " + got["error"]["message"])
                return got["result"]
            self._event(got)

    def size(self, width, height):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                  mobile=width < 600)

    def media(self, scheme, kind=""):
        self.call("Emulation.setEmulatedMedia", media=kind,
                  features=[{"name": "prefers-color-scheme", "value": scheme}])

    def open(self, url):
        for to in ("about:blank", url):  # by way of nothing, so that an address with another #part loads anew
            self.requests.clear()
            self.events.clear()
            self.call("Page.navigate", url=to)
            end = time.time() + 60
            while "Page.loadEventFired" not in self.events:
                self._event(self._message(end))

    def js(self, text):
        r = self.call("Runtime.evaluate", expression=text, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in r:
            raise Failed("in the page: " + json.dumps(r["exceptionDetails"])[:600])
        return r["result"].get("value")

    def key(self, key, code=None, number=0):
        for kind in ("keyDown", "keyUp"):
            extra = {"text": "\r"} if key == "Enter" and kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=code or key,
                      windowsVirtualKeyCode=number, **extra)

    def click(self, selector):
        at = self.js("(() => { const e = document.querySelector(%s); e.scrollIntoView({block: 'center', behavior: "
                     "'instant'}); const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; })()"
                     % json.dumps(selector))
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=at[0], y=at[1], button="left", clickCount=1)

    def shot(self, path, whole=True):
        extra = {}
        if whole:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            extra = {"captureBeyondViewport": True, "clip": {"x": 0, "y": 0, "width": size["width"],
                                                           "height": min(size["height"], 16000), "scale": 1}}
        with open(path, "wb") as f:
            f.write(base64.b64decode(self.call("Page.captureScreenshot", format="png", **extra)["data"]))

#!/usr/bin/env python3
"""server - a hub and, on a second port, where it keeps its large files; both misbehave as they are told

usage: server.py ROOT   (prints the two ports; ROOT/ORG/NAME/... are repositories)

ROOT/modes.json, read at each request, says how (numbers count down in memory, under their own name):
  cut N           a body ends after N bytes, with the connection      cut_times N    only so often (default: always)
  longer N        Content-Length is N too large                       shorter N      Content-Length and body N too small
  no_range        ranges are ignored                                  wrong_range    another range than asked for
  flip N          N bodies have a wrong byte                          limit N        N answers are 429, Retry-After: 1
  fail N          N answers are 500                                   slow S         seconds of sleep before each 64 KiB
  stall           no byte after the head                              token T        the hub asks for this token
  redirect URL    where large files are said to be                    listing TEXT   the hub's answer, as it is
ROOT/log gets a line a request: hub|cdn METHOD PATH RANGE AUTHORIZATION
"""
import functools
import hashlib
import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

ROOT = sys.argv[1]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = 64 << 10
LOCK = threading.Lock()
COUNT = {}


def modes():
    try:
        with open(os.path.join(ROOT, "modes.json")) as f:
            return json.load(f)
    except FileNotFoundError:
        return {}


def count_down(m, key):
    """True as often as modes.json says; a new number there starts again."""
    if key not in m:
        return False
    with LOCK:
        given, left = COUNT.get(key, (None, 0))
        if given != m[key]:
            given, left = m[key], m[key]
        COUNT[key] = (given, max(left - 1, 0))
        return left > 0


def files(repo):
    base = os.path.join(ROOT, repo)
    for folder, _, names in os.walk(base):
        for name in names:
            path = os.path.join(folder, name)
            yield os.path.relpath(path, base), path


@functools.lru_cache(None)
def entry(name, path, size, changed):
    with open(path, "rb") as f:
        data = f.read()
    one = {"rfilename": name, "size": size, "blobId": hashlib.sha1(b"blob %d\0" % size + data).hexdigest()}
    if size >= LARGE:
        one["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": size, "pointerSize": 130}
    return one


def listing(repo):
    stats = ((name, path, os.stat(path)) for name, path in sorted(files(repo)))
    return {"id": repo, "sha": COMMIT, "siblings": [entry(name, path, s.st_size, s.st_mtime_ns) for name, path, s in stats]}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def plain(self, status, data=b"", headers=()):
        self.send_response(status)
        for k, v in headers:
            self.send_header(k, v)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            try:
                self.wfile.write(data)
            except OSError:  # the client was killed
                self.close_connection = True

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        m = modes()
        side = "hub" if self.server is HUB else "cdn"
        with LOCK, open(os.path.join(ROOT, "log"), "a") as f:
            print(side, self.command, self.path, self.headers.get("Range", "-"), self.headers.get("Authorization", "-"), file=f)
        path = unquote(urlsplit(self.path).path).strip("/")
        if count_down(m, "limit"):
            return self.plain(429, b"slow down", [("Retry-After", "1")])
        if count_down(m, "fail"):
            return self.plain(500, b"oops")
        if side == "hub" and "token" in m and self.headers.get("Authorization") != "Bearer " + m["token"]:
            return self.plain(401, b"who are you?")
        part = path.split("/")
        if side == "hub" and part[:2] == ["api", "models"] and len(part) >= 6:
            repo = "/".join(part[2:4])
            if not os.path.isdir(os.path.join(ROOT, repo)):
                return self.plain(404, b"{}")
            text = m.get("listing") or json.dumps(listing(repo))
            return self.plain(200, text.encode(), [("Content-Type", "application/json")])
        if side == "hub" and len(part) > 4 and part[2] == "resolve":
            path = "/".join(part[:2] + part[4:])
            full = os.path.join(ROOT, path)
            if os.path.isfile(full) and os.path.getsize(full) >= LARGE:
                to = m.get("redirect") or "http://127.0.0.1:%d/%s?signature=secret" % (CDN.server_port, path)
                return self.plain(302, b"go on", [("Location", to)])
        full = os.path.join(ROOT, path)
        if ".." in path or not os.path.isfile(full):
            return self.plain(404, b"no such file")
        with open(full, "rb") as f:
            self.body(m, f.read())

    def body(self, m, data):
        tag = '"%s"' % hashlib.md5(data).hexdigest()
        size, status, begin, end = len(data), 200, 0, len(data)
        asked = self.headers.get("Range")
        if asked and "no_range" not in m:
            a, b = asked.split("=")[1].split("-")
            begin, end, status = int(a), int(b) + 1 if b else size, 206
            if "wrong_range" in m:
                begin, end = begin + 7, min(end + 7, size)
        data = data[begin:end]
        if count_down(m, "flip"):
            data = bytes([data[0] ^ 1]) + data[1:]
        if "shorter" in m:
            data = data[:-m["shorter"]]
        self.send_response(status)
        self.send_header("ETag", tag)
        if "no_range" not in m:
            self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(data) + m.get("longer", 0)))
        if status == 206:
            self.send_header("Content-Range", "bytes %d-%d/%d" % (begin, end - 1, size))
        self.end_headers()
        if self.command == "HEAD":
            return
        limit = len(data)
        if "cut" in m and ("cut_times" not in m or count_down(m, "cut_times")):
            limit = min(limit, m["cut"])
        if "stall" in m:
            time.sleep(20)
        try:
            for at in range(0, limit, 65536):
                time.sleep(m.get("slow", 0))
                self.wfile.write(data[at:min(at + 65536, limit)])
        except OSError:
            limit = -1
        if limit != len(data) or "longer" in m:
            self.close_connection = True


HUB = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
CDN = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
for s in (HUB, CDN):
    s.daemon_threads = True
threading.Thread(target=CDN.serve_forever, daemon=True).start()
print(HUB.server_port, CDN.server_port, flush=True)
HUB.serve_forever()

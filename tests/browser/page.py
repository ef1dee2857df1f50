# page - opens a page of apr-report in headless Chromium and fails on whatever a reader would stumble over
# usage: page.py FILE.html EXPECT.json   EXPECT: {"tasks": n, "open": {"task": i, "contains": [..]}, "find": ["text", n],
#   "kind": ["verdict in words", n], "differs": n, "table": true, "title": "..."}; each part is optional
import json, sys
from devtools import Browser, Failed

bad = []


def check(ok, what):
    if not ok:
        bad.append(what)
        print("not ok: " + what)


# WCAG 2 contrast of every text that is seen, against the nearest opaque background
CONTRAST = """(() => {
  const rgb = (c) => { const k = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
    k.clearRect(0, 0, 1, 1); k.fillStyle = c; k.fillRect(0, 0, 1, 1); return [...k.getImageData(0, 0, 1, 1).data]; };
  const lum = ([r, g, b]) => { const f = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b); };
  const seen = new Map(), low = [], cache = new Map();
  const color = (c) => { if (!cache.has(c)) cache.set(c, rgb(c)); return cache.get(c); };
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let n = 0;
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || !e.checkVisibility({visibilityProperty: true}) || e.closest('script, style, title')) continue;
    const s = getComputedStyle(e), fg = color(e.closest('svg') ? s.fill : s.color);
    let b = e, bg = null;
    while (b && !bg) { const c = color(getComputedStyle(b).backgroundColor); if (c[3] > 250) bg = c; b = b.parentElement; }
    bg = bg || color(getComputedStyle(document.body).backgroundColor);
    const x = lum(fg), y = lum(bg), ratio = (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
    n++;
    if (ratio < 4.5 && !e.closest(':disabled')) low.push(ratio.toFixed(2) + ' ' + e.tagName + '.' + e.getAttribute('class') + ': ' + walk.currentNode.data.trim().slice(0, 30));
  }
  return {n, low: [...new Set(low)].slice(0, 8)};
})()"""

STRUCTURE = """(() => {
  const w = [], q = (s) => [...document.querySelectorAll(s)];
  if (document.documentElement.lang !== 'en') w.push('no language');
  if (q('h1').length !== 1) w.push('not one h1');
  if (q('main').length !== 1 || q('header').length < 1 || q('nav').length !== 1) w.push('landmarks missing');
  let last = 0;
  for (const h of q('h1, h2, h3').filter((h) => !h.closest('dialog'))) { const l = Number(h.tagName[1]); if (l > last + 1) w.push('heading skips: ' + h.textContent); last = l; }
  for (const s of q('svg[role=img]')) if (!s.getAttribute('aria-label')) w.push('a figure without words');
  for (const b of q('button')) if (!(b.getAttribute('aria-label') || b.textContent).trim()) w.push('a button without a name');
  for (const i of q('input')) if (!i.labels.length) w.push('an input without a label');
  for (const t of q('table')) if (!t.tHead || [...t.tHead.querySelectorAll('th')].some((h) => !h.scope)) w.push('a table without heads');
  const ids = q('[id]').map((e) => e.id); if (new Set(ids).size !== ids.length) w.push('an id twice');
  for (const a of q('a')) { const t = a.getAttribute('href'); if (!t.startsWith('#') || !document.getElementById(t.slice(1))) w.push('a link to nowhere: ' + t); }
  if (q('[style], [onclick], [onload], img, iframe, object, embed, link, form[action]').length) w.push('an element that has no place here');
  if (q('script').length > 2 || q('style').length !== 1) w.push('scripts or styles that are not ours');
  for (const s of q('svg *')) for (const a of s.attributes) if (/NaN|Infinity|undefined|\\bnan\\b|\\binf\\b/.test(a.value)) w.push('a figure with ' + a.name + '=' + a.value.slice(0, 20));
  return [...new Set(w)];
})()"""


def settle(b):
    b.js("new Promise((r) => setTimeout(r, 250))")


def tasks(b, want, where):
    check(b.js("document.querySelectorAll('.tile').length") == want["tasks"], where + "%d tasks" % want["tasks"])
    if not want["tasks"]:
        return
    i = want.get("open", {}).get("task", 0)
    tile = '.tile[data-i="%d"]' % i
    b.click(tile)
    settle(b)
    b.js("document.querySelectorAll('#task details').forEach((d) => { d.open = true; })")
    text = b.js("document.getElementById('task').open ? document.getElementById('task').innerText : ''")
    check(text, where + "a click opens the task")
    for part in want.get("open", {}).get("contains", []):
        check(part in text, where + "the open task shows %r" % part[:60])
    check(b.js("document.getElementById('task').scrollWidth <= document.getElementById('task').clientWidth"), where + "the open task fits")
    check(b.js("location.hash") == "#task-%d" % i, where + "the address names the task")
    low = b.js(CONTRAST)
    check(not low["low"], where + "contrast of the open task: %s" % low["low"])
    b.key("Escape", number=27)
    settle(b)
    check(not b.js("document.getElementById('task').open"), where + "Escape closes it")
    check(b.js("document.activeElement === document.querySelector('%s')" % tile), where + "the focus is back on its tile")
    b.key("ArrowRight", number=39)
    after = b.js("Number(document.activeElement.dataset.i)")
    check(after == min(i + 1, want["tasks"] - 1), where + "an arrow moves on")
    b.key("Enter", number=13)
    settle(b)
    check(b.js("document.getElementById('task').open"), where + "Enter opens a task")
    b.click("#task-close")
    settle(b)
    check(not b.js("document.getElementById('task').open"), where + "Close closes it")


def shown(b):
    settle(b)
    return b.js("[...document.querySelectorAll('.tile')].filter((x) => !x.hidden && x.checkVisibility()).length")


def filters(b, want, where):
    if "find" in want:
        b.js("(() => { const i = document.getElementById('f-text'); i.value = %s; i.dispatchEvent(new Event('input', {bubbles: true})); })()" % json.dumps(want["find"][0]))
        check(shown(b) == want["find"][1], where + "finds %s" % want["find"])
        b.click("#filter [type=reset]")
    if "kind" in want:
        b.js("[...document.querySelectorAll('#filter .chip')].find((c) => c.innerText.includes(%s)).querySelector('input').click()" % json.dumps(want["kind"][0]))
        check(shown(b) == want["kind"][1], where + "filters %s" % want["kind"])
        b.click("#filter [type=reset]")
    if "differs" in want:
        b.click("#f-differs")
        check(shown(b) == want["differs"], where + "%d tasks differ" % want["differs"])
        b.click("#filter [type=reset]")
    if want.get("tasks"):
        check(shown(b) == want["tasks"], where + "Clear shows all tasks")


def sorting(b, where):
    table = "document.querySelector('table.sortable')"
    before = b.js(table + ".tBodies[0].innerText")
    b.click("table.sortable th:nth-child(2) button")
    b.click("table.sortable th:nth-child(2) button")
    check(b.js(table + ".tHead.rows[0].cells[1].getAttribute('aria-sort')") == "descending", where + "a click sorts")
    check(sorted(before.split()) == sorted(b.js(table + ".tBodies[0].innerText").split()), where + "sorting keeps the rows")


def one(b, url, want, width, scheme):
    where = "%d %s: " % (width, scheme)
    b.size(width, 900 if width > 600 else 844)
    b.media(scheme)
    b.open(url)
    check(b.js("document.title") == want.get("title", b.js("document.title")), where + "the title")
    check(b.js("typeof window.pwned") == "undefined", where + "hostile script ran")
    wide = b.js("document.scrollingElement.scrollWidth - innerWidth")
    check(wide <= 0, where + "the page is %d pixels too wide" % wide)
    for what in b.js(STRUCTURE):
        check(False, where + what)
    low = b.js(CONTRAST)
    check(low["n"] > 10 and not low["low"], where + "contrast: %s" % low["low"])
    dark = b.js("getComputedStyle(document.documentElement).colorScheme")
    body = b.js("getComputedStyle(document.body).backgroundColor")
    if "tasks" in want:
        tasks(b, want, where)
        filters(b, want, where)
    if want.get("sort"):
        sorting(b, where)
    for _ in range(2):  # auto, light, dark
        b.js("document.getElementById('theme').click()")
    check(b.js("document.documentElement.dataset.theme") == "dark", where + "the toggle: dark")
    now = b.js("getComputedStyle(document.body).backgroundColor")
    check((now == body) == (scheme == "dark"), where + "the toggle changes the colours (%s, %s, %s)" % (dark, body, now))
    b.js("document.getElementById('theme').click()")
    check(b.js("typeof window.pwned") == "undefined", where + "hostile script ran")
    check(b.requests == [url], where + "requests: %s" % b.requests[:3])


def without_script(b, url, want):
    b.call("Emulation.setScriptExecutionDisabled", value=True)
    b.open(url)
    seen = b.js("document.body.innerText")  # the protocol may still look
    for part in want.get("plain", []):
        check(part in seen, "without script: %r is there" % part)
    check(b.js("[...document.querySelectorAll('.script, #theme')].every((e) => !e.checkVisibility())"), "without script: no dead controls")
    check(b.js("[...document.querySelectorAll('svg.plot')].every((e) => e.getBoundingClientRect().height > 20)"), "without script: figures")
    b.call("Emulation.setScriptExecutionDisabled", value=False)


def in_print(b, url):
    b.size(800, 1000)
    b.media("light", "print")
    b.open(url)
    check(b.js("[...document.querySelectorAll('nav, #theme, dialog')].every((e) => !e.checkVisibility())"), "in print: no controls")
    check(len(b.call("Page.printToPDF")["data"]) > 1000, "in print: a document")
    b.media("light")


def main():
    url = "file://" + sys.argv[1]
    want = json.loads(open(sys.argv[2]).read())
    b = Browser()
    try:
        for width in (1280, 390):
            for scheme in ("light", "dark"):
                one(b, url, want, width, scheme)
        without_script(b, url, want)
        in_print(b, url)
        for what in b.said:
            check(False, "the browser says: " + what)
    except Failed as e:
        check(False, str(e))
    finally:
        b.close()
    return 1 if bad else 0


sys.exit(main())

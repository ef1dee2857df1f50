# hostile - writes records whose texts try to break or script a page: hostile.py DIR
import json, os, sys

os.chdir(sys.argv[1])
PWN = "window.pwned=1"
TEXTS = {
    "script": "</script><script>%s</script>" % PWN,
    "data": '"}]}</script><img src=x onerror="%s">' % PWN,
    "comment": "<!--<script>%s" % PWN,
    "cdata": "]]><![CDATA[ --> %s" % PWN,
    "image": "<img src=x onerror=%s><svg/onload=%s>" % (PWN, PWN),
    "quote": "\"' onmouseover='%s' x=\"" % PWN,
    "separators": "a\u2028b\u2029c\u0085d",
    "ansi": "\x1b[31mred\x1b[0m\x1b]0;title\x07\x08\x7f",
    "direction": "if access != 'user\u202e \u2066// admin\u2069 \u2066':",
    "nul": "before\0after",
    "link": "[x](javascript:%s) <a href='javascript:%s'>y</a>" % (PWN, PWN),
    "css": "</style><style>*{display:none}</style>",
    "template": "${%s}`{{%s}}" % (PWN, PWN),
    "long": "x = 1\n" * 900000,  # 5.4 MB
    "wide": "y" * 20000,
    "emoji": "\U0001f600 \u0645\u0631\u062d\u0628\u0627 \u4f60\u597d",
}
BENCH = '<b onclick="%s">b' % PWN
NAME = '<i>&"run'


def write(path, records, raw=()):
    with open(path, "wb") as f:
        for r in records:
            f.write(json.dumps(r).encode() + b"\n")
        for line in raw:
            f.write(line + b"\n")


def key(schema, name, **more):
    plain = "".join(c for c in TEXTS[name][:40] if c >= " " and c != "\x7f")
    return dict(schema=schema, task_id="%s <u>%s" % (name, plain), sample=0, bench=BENCH, **more)


names = list(TEXTS)
bad = '"bench":%s,"sample":0' % json.dumps(BENCH)
write(NAME + "-verdicts.jsonl",
      [key("verdict/1", n, passed=n == "emoji", verdict="pass" if n == "emoji" else "exception", detail=TEXTS[n].replace("\0", "")[:200],
           enforced=["<b>%s" % PWN, "seccomp"], trust="<i>", tests={"run": 1, "total": 2}) for n in names]
      + [dict(schema="verdict/1", task_id=t, sample=0, bench=BENCH, passed=False, verdict="crash", detail="</td><script>" + PWN) for t in ("surrogate", "bytes", "NUL")])
for kind, field in (("code", "code"), ("samples", "text"), ("prompts", "prompt")):
    schema = {"code": "code/1", "samples": "sample/1", "prompts": "prompt/1"}[kind]
    line = '{"schema":"%s","task_id":"%%s",%s,"%s":"%%s"}' % (schema, bad, field)
    path = (NAME + "-" if kind != "prompts" else "") + kind + ".jsonl"
    write(path, [key(schema, n, **{field: TEXTS[n], "how": "</h3>", "finish": "<b>", "thinking": TEXTS["script"], "system": TEXTS["image"],
                                   "messages": [{"role": "<u>", "content": TEXTS["comment"]}], "tokens_generated": 1e400 if n == "css" else 3})
                 for n in names if n != "css"],
          [(line % ("surrogate", "lone \\ud800 and \\udc00 \\ud83d\\ude00 and \\\\u0000")).encode(),
           (line % ("bytes", "@@")).encode().replace(b"@@", b"\xff\xfe\xc0\xaf\xed\xa0\x80 ok"),
           (line % ("NUL", "@@")).encode().replace(b"@@", b"raw \0 byte and \\u0000 escape")])
write("metrics <b>.jsonl", [dict(schema="metric/1", event="step", step=i, loss=v) for i, v in
                            enumerate([1.0, None, 1e308, -1e308, 0.5, 1e-300, 2.0])] + [dict(schema="metric/1", event="epoch", step=3, epoch=1, loss=None)])
write("score.jsonl", [dict(schema="score/1", bench=TEXTS["script"], metric=TEXTS["quote"], value=1e-300, passed=1, n_task=1, n_sample=1,
                           bootstrap=[0, 1], verdicts={TEXTS["image"]: 3, "pass": "x"})])
write("compare.jsonl", [dict(schema="compare/1", bench=TEXTS["script"], a=TEXTS["image"], b=TEXTS["quote"], difference=-1, n_task=3,
                             bootstrap=[-1, 1], mcnemar_p=1e-300)])
write("oracle.jsonl", [dict(schema="oracle/1", bench=TEXTS["script"], metric=TEXTS["css"], value=1, n_run=1, n_task=1, solved=1, always=1, sometimes=0,
                            never=0, runs=[dict(run=TEXTS["image"], unique=1, unique_tasks=[TEXTS["script"], 7])])])
with open("score.jsonl.meta.json", "w") as f:
    json.dump(dict(schema="meta/1", sha256="x", tool=TEXTS["script"], version=TEXTS["image"], host=TEXTS["quote"], device="</dd>", end=TEXTS["css"],
                   seconds=1e308, args={TEXTS["image"]: TEXTS["script"], "list": [TEXTS["css"]]},
                   inputs=[dict(path=TEXTS["script"], sha256=TEXTS["quote"]), "no object", dict(path="/dev/zero", sha256="0" * 64)]), f)
print(len(names) + 3)

#!/usr/bin/env python3
"""mk_chat.py DIR... - render every template DIR/*.jinja with every conversation of chat/cases.tsv, by Jinja2 as
transformers sets it up (utils/chat_template_utils.py), and print "template case hash" (16 digits of the sha256) for each, or "error" where
Jinja2 raises.  Needs python3-jinja2.  --text CASE: the rendering itself, of one template.
--expr: chat/expr.tsv again, from the templates in it; "refused" marks those that Jinja2 has and we have not."""
import datetime, glob, hashlib, json, os, sys
import jinja2, jinja2.ext, jinja2.sandbox


class Generation(jinja2.ext.Extension):
    """transformers' AssistantTracker: {% generation %} is a call block whose text stays as it is."""
    tags = {'generation'}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(['name:endgeneration'], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method('_same'), [], [], body).set_lineno(line)

    def _same(self, caller):
        return caller()


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


NOW = datetime.datetime(2026, 7, 4, 15, 9, 26)  # a Saturday; the tests' clock too
env = jinja2.sandbox.ImmutableSandboxedEnvironment(
    trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
env.filters['tojson'] = tojson
env.globals['raise_exception'] = raise_exception
env.globals['strftime_now'] = lambda f: NOW.strftime(f)


def expressions(path):
    for line in open(path, newline='\n').read().split('\n')[:-1]:
        template, want = line.split('\t')
        if want != 'refused':
            try:
                want = json.dumps(env.from_string(json.loads(template)).render(), ensure_ascii=False)
            except Exception:
                want = 'error'
        print(template, want, sep='\t')


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    if '--expr' in sys.argv:
        return expressions(here + '/chat/expr.tsv')
    lines = open(here + '/chat/cases.tsv', newline='\n').read().split('\n')[:-1]
    cases = [dict(zip(('name', 'vars'), line.split('\t'))) for line in lines]
    text = sys.argv[sys.argv.index('--text') + 1] if '--text' in sys.argv else None
    dirs = [a for a in sys.argv[1:] if a != '--text' and a != text]
    for path in sorted(p for d in dirs for p in (glob.glob(d + '/*.jinja') if os.path.isdir(d) else [d])):
        name = os.path.basename(path)[:-6]
        try:
            template = env.from_string(open(path, newline='').read())
        except jinja2.exceptions.TemplateError as e:
            print(name, '*', 'refused', file=sys.stderr)
            continue
        for case in cases:
            if text and case['name'] != text:
                continue
            try:
                out = template.render(**json.loads(case['vars']))
                if text:
                    sys.stdout.write(out)
                    continue
                sha = hashlib.sha256(out.encode()).hexdigest()[:16]
            except Exception as e:
                if text:
                    print('error', type(e), e)
                sha = 'error'
            if not text:
                print(name, case['name'], sha)


main()

#!/usr/bin/python3
# drive - programs in C, C++ and JavaScript through apr-sandbox, and without it: do two processes judge as one does?
#
#     drive.py mutants c|cpp|js [--only RE]     broken reference solutions, each judged both ways
#
# APR_BIN names the folder of the tools.
import argparse
import gzip
import json
import os
import re
import resource
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
LANGUAGES = os.path.join(TOP, 'configs/sandbox/languages.py')
with open(LANGUAGES) as f:
    exec(compile(f.read(), LANGUAGES, 'exec'))

DATA = {'javascript': 'humaneval_js.jsonl.gz', 'cpp': 'humaneval_cpp.jsonl.gz', 'c': 'basic-c.jsonl.gz'}
LIMITS = {'cpu': 5, 'memory_mib': 1024, 'processes': 32, 'file_mib': 16, 'files': 64}
SANDBOX = os.path.join(os.environ.get('APR_BIN', TOP + '/build/bin'), 'apr-sandbox')


def tasks(lang):
    with gzip.open(os.path.join(TOP, 'data/bench', DATA[lang]), 'rt') as f:
        return {t['task_id']: t for t in map(json.loads, f)}


# ---- in the sandbox ----


def judge_all(lang, jobs):
    """Verdicts of (task, code)s."""
    with tempfile.TemporaryDirectory() as d:
        ids = {}
        for t, _ in jobs:
            ids.setdefault(json.dumps(t, sort_keys=True), 'T/%d' % len(ids))
        with open(d + '/tasks.jsonl', 'w') as f:
            for text, name in ids.items():
                f.write(json.dumps(dict(json.loads(text), task_id=name)) + '\n')
        with open(d + '/bench.yaml', 'w') as f:
            f.write('name: langs\ndata: %s/tasks.jsonl\nformat: humaneval-x\nlang: %s\nn_task: %d\n' % (d, lang, len(ids)))
        code = ''.join(json.dumps({'task_id': ids[json.dumps(t, sort_keys=True)], 'code': c}) + '\n' for t, c in jobs)
        p = subprocess.run([SANDBOX, '--bench', d + '/bench.yaml'], input=code.encode(), capture_output=True)
        assert p.returncode in (0, 71), p.stderr
        return [dict(v, **v['tests']) for v in map(json.loads, p.stdout.splitlines())]


def judge(task, lang, code):
    return judge_all(lang, [(task, code)])[0]


def built(lang):
    """The folder that apr-sandbox has made for a language."""
    keep = os.path.join(tempfile.gettempdir(), 'apr-test-langs-%d' % os.getpid())
    t = next(iter(tasks(lang).values()))
    os.environ['XDG_CACHE_HOME'] = keep
    try:
        judge(t, lang, t['canonical_solution'])
    finally:
        del os.environ['XDG_CACHE_HOME']
    import atexit
    import shutil
    atexit.register(shutil.rmtree, keep, True)
    return max(os.path.join(keep, 'apr/languages', n) for n in os.listdir(keep + '/apr/languages') if n.startswith(lang + '-'))


# ---- the same in one process: what people do without a sandbox ----


SANITIZE = '-fsanitize=address,undefined'


def alone(task, lang, code, flags=()):
    """Does prompt + code + test, as one program, say that all is well?  And what else does it say?"""
    entry = lang_split(lang, task['prompt'], task.get('entry_point'))[2]
    text = lang_program(lang, task['prompt'], code, entry) + '\n' + task['test']
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, 'program.' + {'javascript': 'js', 'cpp': 'cpp', 'c': 'c'}[lang])
        with open(path, 'w') as f:
            f.write(text)
        argv = [LANG_PROGRAM[lang][0], path]
        if lang != 'javascript':
            build = [LANG_PROGRAM[lang][0], '-std=gnu++17' if lang == 'cpp' else '-std=gnu17', '-w', *flags, path, '-o', d + '/program', '-lm']
            if lang == 'cpp':  # what every HumanEval-X program gets
                build[1:1] = ['-include', os.path.join(TOP, 'configs/sandbox/cpp/prelude-candidate.hpp')]
            if subprocess.run(build, capture_output=True).returncode != 0:
                return False, b''
            argv = [d + '/program']
        try:
            r = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=20, cwd=d,
                               preexec_fn=lambda: (resource.setrlimit(resource.RLIMIT_CPU, (LIMITS['cpu'], LIMITS['cpu'])),
                                                   resource.setrlimit(resource.RLIMIT_CORE, (0, 0)),
                                                   lang == 'javascript' or SANITIZE in flags or resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))))
        except subprocess.TimeoutExpired:
            return False, b''
        return r.returncode == 0 and b'Assertion failed' not in r.stderr, r.stderr


def plain(task, lang, code):
    return alone(task, lang, code)[0]


def undefined(task, lang, code):
    """Does what it does hang on memory that it has not written, or that is not its own?"""
    if lang == 'javascript':
        return False
    fill = [alone(task, lang, code, ['-ftrivial-auto-var-init=' + how])[0] for how in ('zero', 'pattern')]
    said = alone(task, lang, code, ['-D_GLIBCXX_ASSERTIONS', SANITIZE, '-fno-sanitize-recover=undefined'])[1]
    return fill[0] != fill[1] or re.search(rb'AddressSanitizer|runtime error|/include/c\+\+/', said) is not None


# ---- broken solutions ----

SWAPS = [('<=', '<'), (r'(?<![<-])<(?![<=])', '<='), (r'\+(?![+=])(?<!\+\+)', '-'), ('==', '!='), ('&&', '||'), (r'\b0\b', '1'), (r'\b1\b', '2'),
         (r'return ([^;\n{}]+);', r'return !(\1);'), (r'\+\+', '--')]


def mutants(lang, t):
    """(name, code): nothing but a default value, and one place changed at a time."""
    body = t['canonical_solution']
    out = [('default', {'cpp': '    return {};\n}\n', 'c': '    return 0;\n}\n', 'javascript': '  return null;\n}\n'}[lang])]
    if lang == 'c' and re.match(r'void\b', lang_split(lang, t['prompt'])[1]):
        out = [('default', '}\n')]
    for i, (pattern, new) in enumerate(SWAPS):
        text, n = re.subn(pattern, new, body, count=1)
        if n and text != body:
            out.append(('%d:%s' % (i, pattern), text))
    return out


def mutate(lang, only):
    todo = [(t, name, code) for t in tasks(lang).values() if not only or re.search(only, t['task_id']) for name, code in mutants(lang, t)]
    verdicts = judge_all(lang, [(t, code) for t, _, code in todo])
    agree = passed = default = luck = 0

    def alone(x):
        (t, _, code), v = x
        p = plain(t, lang, code)
        return p, (v['verdict'] == 'pass') != p and undefined(t, lang, code)
    with ThreadPoolExecutor(2) as pool:
        for (t, name, _), v, (p, u) in zip(todo, verdicts, pool.map(alone, zip(todo, verdicts))):
            split = v['verdict'] == 'pass'
            agree += split == p
            luck += u
            passed += split
            default += split and name == 'default'
            if split != p:
                print(json.dumps(dict(v, task_id=t['task_id'], mutant=name, plain=p, undefined=u)), flush=True)
    print('%d mutants: %d judged alike in one process and in two, %d undefined, %d otherwise; %d pass, of them %d with a default value' % (
        len(todo), agree, luck, len(todo) - agree - luck, passed, default))


def read(path):
    with open(path, errors='surrogateescape') as f:
        return f.read()


if __name__ == '__main__':
    p = argparse.ArgumentParser()
    p.add_argument('command', choices=['mutants'])
    p.add_argument('lang')
    p.add_argument('--only', help='task ids that match')
    a = p.parse_args()
    mutate(LANG_ALIASES[a.lang], a.only)

#!/usr/bin/python3
# drive - judge programs in C, C++ and JavaScript with configs/sandbox/languages.py, as the sandbox does
#
#     drive.py canonical c|cpp|js     the reference solutions: one verdict a line, then how many passed
#     drive.py mutants c|cpp|js       broken reference solutions, each also judged in one process: do they agree?
#     drive.py hostile FILE...        hostile programs: does each get a verdict that its header allows?
#     drive.py one LANG/ID FILE       one program
#
# A reference for the supervisor: what is started, with which descriptors, and how two exits and a report become a
# verdict.  It needs root and writes nothing outside a temporary directory.
import argparse
import gzip
import json
import os
import re
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)
import jail  # noqa: E402

LANGUAGES = os.path.join(TOP, 'configs/sandbox/languages.py')
with open(LANGUAGES) as f:
    exec(compile(f.read(), LANGUAGES, 'exec'))

DATA = {'javascript': 'humaneval_js.jsonl.gz', 'cpp': 'humaneval_cpp.jsonl.gz', 'c': 'basic-c.jsonl.gz'}
BUILT = POLICY = None  # where lang_support() puts things; the seccomp rules: set by prepare()
LIMITS = {'cpu': 5, 'memory_mib': 1024, 'processes': 32, 'file_mib': 16, 'files': 64}
OUTPUT_KIB, JAIL_FAILED = 1024, 120
SLOTS = list(range(16))


def tasks(lang):
    with gzip.open(os.path.join(TOP, 'data/bench', DATA[lang]), 'rt') as f:
        return {t['task_id']: t for t in map(json.loads, f)}


# ---- one job ----


def start(role, lang, payload, limits, fds, slot, policy):
    """fds: {number in the job: descriptor here}, 9 is the status channel.  The process that waits for the job."""
    pid = os.fork()
    if pid:
        return pid
    try:
        hi = {n: os.dup2(f, 200 + n) for n, f in fds.items()}
        for n in range(10):
            if n in hi:
                os.dup2(hi[n], n)
        status = os.dup2(hi[9], 99, inheritable=False)
        os.closerange(max(n for n in fds if n < 9) + 1, 99)
        os.closerange(100, 4096)
        first = jail.enter({'/sandbox': BUILT}, 64, slot)
        if first:
            os.close(status)
            os.closerange(0, 10)
            ended = os.waitpid(first, 0)[1]
            if os.WIFSIGNALED(ended):
                resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
                signal.signal(os.WTERMSIG(ended), signal.SIG_DFL) if os.WTERMSIG(ended) not in (9, 19) else None
                os.kill(os.getpid(), os.WTERMSIG(ended))
            os._exit(os.WEXITSTATUS(ended))
        for what, value in lang_rlimits(lang, 'build', limits).items():
            if value is not None:
                resource.setrlimit(what, (value, value))
        policy.load()
        lang_run(lang, role, payload, limits, lambda *v: os.write(status, json.dumps(v).encode()))
    except BaseException as e:
        os.write(2, ('%s: %s' % (type(e).__name__, e)).encode())
    os._exit(JAIL_FAILED)


def judge(task, lang, code, limits=LIMITS, wall=None):
    """The verdict of one program, with the fields that decide it."""
    nonce = os.urandom(16).hex()
    common = {'task_id': task['task_id'], 'prompt': task['prompt']}
    if task.get('entry_point'):
        common['entry_point'] = task['entry_point']
    payload = {'candidate': dict(common, code=code), 'checker': dict(common, nonce=nonce, test=task['test'])}
    a, b = socket.socketpair()
    pipes = {name: os.pipe2(os.O_CLOEXEC) for name in ('out', 'report', 'status candidate', 'status checker')}
    null = os.open('/dev/null', os.O_RDWR | os.O_CLOEXEC)
    slots = SLOTS.pop(), SLOTS.pop()
    policy = POLICY
    t0 = time.monotonic()
    wall = wall or 3 * limits['cpu'] + 2 + (LANG_BUILD['wall'] if lang_compiles(lang) else 0)
    more = dict(limits, cpu=limits['cpu'] + 2, memory_mib=limits['memory_mib'] + 512)
    pids = [start('candidate', lang, json.dumps(payload['candidate']), limits, {0: null, 1: pipes['out'][1], 2: pipes['out'][1], 3: a.fileno(),
                  9: pipes['status candidate'][1]}, slots[0], policy),
            start('checker', lang, json.dumps(payload['checker']), more, {0: null, 1: null, 2: null, 3: b.fileno(),
                  5: pipes['report'][1], 9: pipes['status checker'][1]}, slots[1], policy)]
    a.close()
    b.close()
    os.close(null)
    for p in pipes.values():
        os.close(p[1])
    said = {name: b'' for name in pipes}
    open_, why, n_out = {p[0]: name for name, p in pipes.items()}, None, 0
    ended, usage = [None, None], [None, None]
    while None in ended:
        left = t0 + wall - time.monotonic()
        if left < 0 and not why:
            why = 'wall'
            stop(pids, ended)
        for fd in select.select(list(open_), [], [], min(max(left, 0), 0.02 if not open_ or why else 0.05))[0]:
            b = os.read(fd, 65536)
            name = open_[fd]
            if not b:
                del open_[fd]
                if name == 'report' and said['report']:
                    stop(pids[:1], ended[:1])  # the checker has spoken
                continue
            said[name] = (said[name] + b)[-65536:]
            n_out += len(b) if name == 'out' else 0
            if n_out > OUTPUT_KIB * 1024 and not why:
                why = 'output'
                stop(pids, ended)
            if name == 'status candidate':
                stop(pids, ended)
        for i in (0, 1):
            if ended[i] is None:
                pid, status, ru = os.wait4(pids[i], os.WNOHANG)
                if pid:
                    ended[i], usage[i] = status, ru
    for name, p in pipes.items():
        os.set_blocking(p[0], False)  # a daemon of the candidate's cannot hold it open: its jail is gone
        try:
            while b := os.read(p[0], 65536):
                said[name] = (said[name] + b)[-65536:]
        except BlockingIOError:
            pass
        os.close(p[0])
    SLOTS.extend(slots)
    verdict, detail, run, total = decide(said, ended, usage, nonce, why, limits, lang)
    cpu = [u.ru_utime + u.ru_stime for u in usage]
    return {'task_id': task['task_id'], 'verdict': verdict, 'detail': detail, 'run': run, 'total': total, 'cpu_ms': [round(1000 * c) for c in cpu],
            'wall_ms': round(1000 * (time.monotonic() - t0))}


def stop(pids, ended):
    """Kill what runs in the jails: their first processes, by way of those that wait for them."""
    for pid, e in zip(pids, ended):
        if e is None:
            try:
                with open('/proc/%d/task/%d/children' % (pid, pid)) as f:
                    for child in f.read().split():
                        os.kill(int(child), signal.SIGKILL)
            except ProcessLookupError:  # it has just ended
                pass


def decide(said, ended, usage, nonce, why, limits, lang):
    try:
        r = json.loads(said['report'])
        assert r['nonce'] == nonce
    except Exception:
        r = None
    if why == 'wall':
        return 'timeout_wall', '', 0, 0
    if why == 'output':
        return 'output_limit', '', 0, 0
    if said['status candidate']:
        return (*json.loads(said['status candidate']), 0, 0)
    if said['status checker']:
        return (*json.loads(said['status checker']), 0, 0)
    if r and r['verdict'] != 'gone':
        return r['verdict'], r['detail'], r['run'], r['total']
    if r:
        return (*gone(ended[0], usage[0], said['out'], limits, lang), r['run'], r['total'])
    if os.WIFSIGNALED(ended[1]) and os.WTERMSIG(ended[1]) in (signal.SIGKILL, signal.SIGXCPU):
        return 'timeout_cpu', 'the test needs too long with what was returned', 0, 0
    if os.WIFEXITED(ended[1]) and os.WEXITSTATUS(ended[1]) == 121:
        return 'memory', 'the test runs out of memory with what was returned', 0, 0
    return 'harness_error', 'the checker ended without a report (status %d): %s' % (ended[1], said['out'][-300:]), 0, 0


def gone(status, usage, out, limits, lang):
    """The candidate's process ended by itself before the test did."""
    code, s = (0, os.WTERMSIG(status)) if os.WIFSIGNALED(status) else (os.WEXITSTATUS(status), 0)
    cpu = usage.ru_utime + usage.ru_stime
    if code == JAIL_FAILED:
        return 'harness_error', out.decode('utf-8', 'replace')
    if code == 121:
        return 'memory', 'out of memory'
    if lang == 'javascript' and s in (signal.SIGABRT, signal.SIGTRAP, signal.SIGILL, signal.SIGSEGV) and \
            re.search(rb'out of memory|Allocation failed|allocation failed', out[-4096:]):
        return 'memory', 'signal %d: out of memory' % s
    if s == 0:
        return 'early_exit', 'exit status %d before the end of the test' % code
    if s == signal.SIGSYS:
        return 'forbidden', 'a forbidden system call'
    if s == signal.SIGXCPU or s == signal.SIGKILL and cpu > limits['cpu'] / 2:
        return 'timeout_cpu', 'more than %d s of CPU time' % limits['cpu']
    if s == signal.SIGXFSZ:
        return 'file_limit', 'a file of more than %d MiB' % limits['file_mib']
    if s == signal.SIGKILL:
        return 'memory', 'killed'
    return 'crash', 'signal %d' % s


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


# ---- commands ----


def show(v, **more):
    print(json.dumps(dict(v, **more)), flush=True)


def canonical(lang, a):
    todo = [t for t in tasks(lang).values() if not a.only or re.search(a.only, t['task_id'])]
    passed, bad = 0, []
    with ThreadPoolExecutor(a.jobs) as pool:
        for v in pool.map(lambda t: judge(t, lang, t['canonical_solution']), todo):
            passed += v['verdict'] == 'pass'
            if v['verdict'] != 'pass':
                bad.append(v['task_id'])
            show(v)
    print('%d of %d pass; not: %s' % (passed, len(todo), ' '.join(bad)))


def mutate(lang, a):
    todo = [(t, name, code) for t in tasks(lang).values() if not a.only or re.search(a.only, t['task_id']) for name, code in mutants(lang, t)]
    agree = passed = default = luck = 0

    def both(x):
        v, p = judge(x[0], lang, x[2]), plain(x[0], lang, x[2])
        return v, p, (v['verdict'] == 'pass') != p and undefined(x[0], lang, x[2])
    with ThreadPoolExecutor(a.jobs) as pool:
        for (t, name, _), (v, p, u) in zip(todo, pool.map(both, todo)):
            split = v['verdict'] == 'pass'
            agree += split == p
            luck += u
            passed += split
            default += split and name == 'default'
            show(v, mutant=name, plain=p, agree=split == p, undefined=u)
    print('%d mutants: %d judged alike in one process and in two, %d undefined, %d otherwise; %d pass, of them %d with a default value' % (
        len(todo), agree, luck, len(todo) - agree - luck, passed, default))


def header(text, key):
    m = re.search(r'^(?://|#) %s: (.*)$' % key, text, re.M)
    return m.group(1).split() if m else []


def read(path):
    with open(path, errors='surrogateescape') as f:
        return f.read()


def hostile(paths, a):
    known, wrong = {}, 0

    def one(path):
        text = read(path)
        task, expect = header(text, 'task')[0], header(text, 'expect')
        lang = {'JavaScript': 'javascript', 'CPP': 'cpp', 'C': 'c'}[task.split('/')[0]]
        if lang not in known:
            known[lang] = tasks(lang)
        waits = 'timeout_wall' in expect
        v = judge(known[lang][task], lang, text, dict(LIMITS, cpu=1, memory_mib=256 if lang != 'javascript' else 128),
                  2 + (8 if lang_compiles(lang) else 0) if waits else None)
        return path, v, expect
    with ThreadPoolExecutor(a.jobs) as pool:
        for path, v, expect in pool.map(one, paths):
            ok = v['verdict'] in expect
            wrong += not ok
            show(v, program=os.path.basename(path), expect=expect, ok=ok)
    print('%d programs, %d with another verdict than expected' % (len(paths), wrong))
    return wrong


def prepare():
    global BUILT, POLICY
    BUILT = tempfile.mkdtemp()
    os.chmod(BUILT, 0o755)
    POLICY = jail.Filter(os.path.join(TOP, 'lib/jail_filter.c'))
    for lang in ('cpp', 'c', 'javascript'):
        for role in ('candidate', 'checker'):
            lang_support(lang, role, os.path.join(TOP, 'configs/sandbox'), BUILT)


def forget():
    shutil.rmtree(BUILT)


def main():
    p = argparse.ArgumentParser()
    p.add_argument('command', choices=['canonical', 'mutants', 'hostile', 'one'])
    p.add_argument('what', nargs='+')
    p.add_argument('--jobs', type=int, default=2)
    p.add_argument('--only', help='task ids that match')
    a = p.parse_args()
    prepare()
    try:
        if a.command == 'hostile':
            return hostile(a.what, a) > 0
        lang = LANG_ALIASES[a.what[0].split('/')[0].lower()]
        if a.command == 'one':
            show(judge(tasks(lang)[a.what[0]], lang, read(a.what[1])))
        else:
            {'canonical': canonical, 'mutants': mutate}[a.command](lang, a)
    finally:
        forget()
    return 0


if __name__ == '__main__':
    sys.exit(main())

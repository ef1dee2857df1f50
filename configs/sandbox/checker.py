# checker - runs the trusted test; every call of what is tested goes to the candidate's process
#
# The verdict leaves on descriptor 5 with the nonce of the job.  The candidate's socket is descriptor 3.
import ast
import builtins
import importlib
import json
import os
import random
import reprlib
import socket

# modules that a test may use without importing them, as if the solution had (MBPP 596: sys)
MODULES = {'array', 'bisect', 'cmath', 'collections', 'copy', 'datetime', 'decimal', 'fractions', 'functools',
           'heapq', 'itertools', 'json', 'math', 'operator', 'random', 're', 'statistics', 'string', 'sys'}


class Gone(BaseException):
    """The candidate's end is closed."""


class Protocol(BaseException):
    """The candidate's answer is no answer to the question."""


class BadReturn(BaseException):
    """More than its truth was asked of something that is not plain data."""


class EarlyExit(BaseException):
    pass


class Opaque:
    """What the candidate returned and is not plain data: it has a truth value and nothing else."""
    __slots__ = ('number', 'truth', 'name')

    def __init__(self, number, truth, name):
        self.number, self.truth, self.name = number, truth, name

    def __bool__(self):
        return self.truth

    def __repr__(self):
        return '<%s>' % self.name


def _refuse(self, *_):
    raise BadReturn(self.name)


for _m in ('eq ne lt le gt ge hash len iter next getitem setitem contains call int float index complex round add '
           'radd sub rsub mul rmul truediv rtruediv floordiv mod pow neg abs and or xor str format enter exit '
           'trunc floor ceil').split():
    setattr(Opaque, '__%s__' % _m, _refuse)


class Peer:
    """The candidate, behind its socket."""

    def __init__(self):
        self.s = socket.socket(fileno=3)
        self.last = None
        self.calls = 0

    def receive(self, n):
        parts = []
        while n > 0:
            try:
                b = self.s.recv(min(n, 1 << 20))
            except ConnectionError:
                raise Gone from None
            if not b:
                raise Gone
            parts.append(b)
            n -= len(b)
        return b''.join(parts)

    def ask(self, op, value):
        try:
            if self.s.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT):
                raise Protocol('an answer before the question')
            raise Gone
        except BlockingIOError:
            pass
        except ConnectionError:
            raise Gone from None
        nonce = os.urandom(8)
        body = encode(value, self.handle)
        try:
            self.s.sendall(_u32.pack(9 + len(body)) + nonce + op + body)
        except OSError:
            raise Gone from None
        n = _u32.unpack(self.receive(4))[0]
        if not 9 <= n <= MAX_FRAME:
            raise Protocol('a frame of %d bytes' % n)
        b = self.receive(n)
        if b[:8] != nonce:
            raise Protocol('an answer to another question')
        try:
            v, end = decode(b, 9, Opaque)
        except Malformed as e:
            raise Protocol(str(e)) from None
        if end != n:
            raise Protocol('bytes after the value')
        return b[8:9], v

    @staticmethod
    def handle(x):
        if type(x) is Opaque:
            return x.number, x.truth
        raise TypeError('the test passes a %s, which cannot cross' % type(x).__name__)

    def result(self, kind, v):
        self.last = v
        if kind == b'V':
            return v
        if kind == b'B':
            raise BadReturn(str(v)[:200])
        if kind == b'X':
            raise EarlyExit(str(v)[:200])
        if kind in (b'E', b'S') and type(v) is tuple and [type(e) for e in v] == [str, str, str, int]:
            cls = getattr(builtins, v[1], None)
            if not (isinstance(cls, type) and issubclass(cls, BaseException)) or cls is SystemExit:
                cls = Exception
            try:
                e = cls(v[2])
            except Exception:
                e = Exception(v[2])
            e.apr_remote = (kind, *v)
            raise e
        raise Protocol('an answer of no kind')

    def proxy(self, name):
        def call(*args, **kwargs):
            self.calls += 1
            return self.result(*self.ask(b'C', (name, args, kwargs)))
        call.__name__ = name
        return call


def _mark(tree, base):
    """Put a note after each assert, so that the report can say which one failed. The asserts' sources."""
    found = []

    class Marker(ast.NodeTransformer):
        def visit_Assert(self, node):
            found.append(node)
            note = ast.parse('__apr_passed__(%d)' % (base + len(found) - 1)).body[0]
            return [node, ast.copy_location(ast.fix_missing_locations(note), node)]

    tree = ast.fix_missing_locations(Marker().visit(tree))
    return tree, found


def _names(tree, ctx):
    return {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ctx)}


def _short(v):
    r = reprlib.Repr()
    r.maxstring = r.maxother = 60
    try:
        return r.repr(v)[:120]
    except Exception:
        return '<%s>' % type(v).__name__


def _remote(r):
    """Verdict and detail of an exception in the candidate."""
    kind, name, base, text, errno = r
    detail = '%s: %s' % (name, text) if text else name
    if kind == b'S':
        return 'syntax_error', detail
    if base == 'MemoryError':
        return 'memory', detail
    if errno == 11 or "can't start new thread" in text:
        return 'process_limit', detail
    if errno in (27, 28, 122):  # EFBIG, ENOSPC, EDQUOT
        return 'file_limit', detail
    return 'exception', detail


def _judge(job, peer, passed):
    """(verdict, detail, asserts in all).  Returns only at the end of the test, else raises."""
    ns = {'__name__': 'test', '__apr_passed__': passed.add}
    asserts = []
    job['asserts'] = asserts
    entry = job.get('entry_point')
    if entry:
        trees = [ast.parse(job['test'])]
        try:
            exec(compile(job['prompt'], 'prompt', 'exec'), ns)
        except SyntaxError:
            pass
        wanted = {entry}
    else:
        trees = [ast.parse(t) for t in [job['setup']] + job['tests']]
        wanted = set()
    bound = set().union(*[_names(t, ast.Store) for t in trees], ns)
    called = {n.func.id for t in trees for n in ast.walk(t) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
    ours = set(dir(builtins)) | MODULES
    for t in trees:
        wanted |= _names(t, ast.Load) - bound - ours
        for f in ast.walk(t):
            if isinstance(f, (ast.FunctionDef, ast.ClassDef)):
                wanted.discard(f.name)
            elif isinstance(f, ast.arg):
                wanted.discard(f.arg)
            elif isinstance(f, (ast.Import, ast.ImportFrom)):
                wanted -= {(a.asname or a.name).split('.')[0] for a in f.names}
    if entry:
        wanted.add(entry)
    elif not wanted:  # MBPP 126 tests a function called sum: a built-in name is the candidate's only if
        wanted = called & ours  # nothing else is under test
    found = peer.result(*peer.ask(b'N', sorted(wanted)))
    if type(found) is not list:
        raise Protocol('names')
    for item in found:
        if type(item) is not tuple or len(item) != 3 or item[0] not in wanted:
            raise Protocol('names')
        ns[item[0]] = peer.proxy(item[0]) if item[1] is True else item[2]
    if entry and not callable(ns.get(entry)) or entry and entry not in [i[0] for i in found]:
        return 'no_entry_point', 'nothing defines %s' % entry
    for m in set().union(*[_names(t, ast.Load) for t in trees]) & MODULES:
        ns.setdefault(m, importlib.import_module(m))
    missing = sorted(n for n in wanted if n not in ns and n not in ours)
    if missing and not entry:
        return 'no_entry_point', 'nothing defines %s' % missing[0]
    codes = []
    for t in trees:
        t, a = _mark(t, len(asserts))
        asserts.extend(a)
        codes.append(compile(t, 'test', 'exec'))
    peer.last = None
    for c in codes:
        exec(c, ns)
    if entry:
        ns['check'](ns[entry])
    try:
        peer.ask(b'P', None)  # an answer too many would come here
    except Gone:
        pass
    return 'pass', ''


def run(payload):
    job = json.loads(payload)
    random.seed(job['task_id'])
    peer = Peer()
    passed = set()
    where = lambda: ('assert %d of %d' % (len(passed) + 1, len(job['asserts'])) if job.get('asserts') else 'test')
    try:
        verdict, detail = _judge(job, peer, passed)
    except Gone:
        verdict, detail = 'gone', where()
    except Protocol as e:
        verdict, detail = 'protocol', str(e)
    except BadReturn as e:
        verdict, detail = 'bad_return', '%s: not plain data: %s' % (where(), e)
    except EarlyExit as e:
        verdict, detail = 'early_exit', 'SystemExit %s' % e
    except BaseException as e:
        remote = getattr(e, 'apr_remote', None)
        if remote:
            verdict, detail = _remote(remote)
        elif type(peer.last) is Opaque:
            verdict, detail = 'bad_return', '%s: not plain data: %s' % (where(), peer.last.name)
        elif isinstance(e, AssertionError):
            first = next((i for i in range(len(job['asserts'])) if i not in passed), 0)
            text = ast.unparse(job['asserts'][first].test)[:160] if job['asserts'] else ''
            verdict, detail = 'wrong_answer', '%s: %s; got %s' % (where(), text, _short(peer.last))
        elif peer.calls:  # the returned value broke the test
            verdict, detail = 'wrong_answer', '%s: %s: %s; got %s' % (where(), type(e).__name__, str(e)[:200], _short(peer.last))
        else:
            verdict, detail = 'harness_error', '%s: %s' % (type(e).__name__, str(e)[:300])
    report = {'nonce': job['nonce'], 'verdict': verdict, 'detail': detail.encode('utf-8', 'replace').decode()[:600],
              'run': min(len(passed) + (verdict != 'pass'), len(job.get('asserts', []))), 'total': len(job.get('asserts', []))}
    b = json.dumps(report).encode()
    while b:
        b = b[os.write(5, b):]
    os._exit(0)

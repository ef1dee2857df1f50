# evalplus - tasks that are inputs and expected values: how arguments are read, how results are compared
#
# The rules are in bench(5), part EVALPLUS, the lists of tasks in configs/evalplus.yaml.  A reference runs once
# (expected()); its file is kept by the supervisor and holds, as stream.c's lists, the arguments and the values.
import json
import math
import reprlib
import time

FLOAT_ATOL, RTOL = 1e-6, 1e-7
LARGE = 16384   # bytes of a result beyond which its digest is compared, where equal is all that counts


# ---- arguments ----

def _tuple(x):
    return tuple(x) if type(x) is list else x


def _deep(x):
    return tuple(_deep(e) for e in x) if type(x) is list else x


_FORMS = {'as-is': lambda x: x,
          'tuple': tuple,
          'list-of-tuple': lambda x: [tuple(e) for e in x],
          'tuple-of-tuple': lambda x: tuple(_tuple(e) for e in x),
          'deep-tuple': _deep,
          'dict-of-tuple': lambda x: {k: tuple(v) for k, v in x.items()},
          'float': float,
          'complex': complex}


def read_arguments(call, form):
    """A call's arguments from what JSON gave, by a form: a word for each, "..." repeats the one before."""
    words = form.split()
    if not words:
        return tuple(call)
    if words[-1] == '...':
        words = words[:-1] + [words[-2]] * (len(call) - len(words) + 1)
    return tuple(_FORMS[w](x) for w, x in zip(words, call))


# ---- comparing ----

def _is_floats(x):
    return type(x) is float or type(x) in (list, tuple) and len(x) > 0 and all(type(e) is float for e in x)


def _numbers(out, exp):
    """Pairs of numbers of two results of one shape; None if they have not one shape or are not numbers."""
    if type(exp) in (list, tuple):
        if type(out) not in (list, tuple) or len(out) != len(exp):
            return None
        pairs = []
        for o, e in zip(out, exp):
            p = _numbers(o, e)
            if p is None:
                return None
            pairs += p
        return pairs
    if type(out) in (int, float, bool, complex) and type(exp) in (int, float, bool, complex):
        return [(out, exp)]
    return None


def close(out, exp, atol):
    pairs = _numbers(out, exp)
    if pairs is None:
        return False
    for o, e in pairs:
        try:
            if o == e:
                continue
            if type(e) is not complex and type(o) is not complex:
                o, e = float(o), float(e)
                if math.isinf(o) or math.isinf(e):
                    return False
            if not abs(o - e) <= atol + RTOL * abs(e):
                return False
        except OverflowError:
            return False
    return True


def _root(out, exp, args, atol):
    try:
        return abs(sum(c * out ** i for i, c in enumerate(args[0]))) <= atol
    except (TypeError, OverflowError, ZeroDivisionError, ValueError):
        return False


def _set(out, exp, args, atol):
    try:
        return set(out) == set(exp)
    except TypeError:
        return None


def _not_none(out, exp, args, atol):
    return out == exp if type(out) is bool else (out is not None) == exp


def _pyramid(out, exp, args, atol):
    a, b = args
    try:
        return close(out, round(a * a + 4 * (a * math.sqrt((a / 2) ** 2 + b * b)) / 2), atol) or None
    except (TypeError, OverflowError):
        return None


def _digits(out, exp, args, atol):
    a, b = (str(x) for x in args[:2])
    n = max(len(a), len(b))
    return out == sum(abs(int(x) - int(y)) for x, y in zip(a.zfill(n), b.zfill(n))) or None


# kind -> f(out, exp, args, atol): True right, False wrong, None as without it
ORACLES = {'root': _root, 'set': _set, 'not-none': _not_none, 'or-pyramid': _pyramid, 'or-digits': _digits}


def right(out, exp, args, atol, oracle):
    if oracle:
        r = ORACLES[oracle](out, exp, args, atol)
        if r is not None:
            return r
    if type(out) is Opaque:
        raise BadReturn(out.name)
    if out == exp:
        return True
    return atol != 0 and type(out) is type(exp) and close(out, exp, atol)


# ---- the reference ----

def _has_float(x):
    """Could a tolerance count?  Numbers that are equal as they are need none, but a solution's may be near."""
    if type(x) in (list, tuple):
        return any(_has_float(e) for e in x)
    return type(x) in (float, int, complex, bool)


def _item(b):
    return len(b).to_bytes(4, 'little') + b


def expected(job):
    """The file of a task: a line of JSON, then two lists."""
    task = json.loads(job['task'])
    calls = [[read_arguments(c, job['form']) for c in task.get(k) or []] for k in ('base_input', 'plus_input')]
    failed, names = _load((job['program']).encode('utf-8', 'surrogatepass'))
    if failed:
        raise ValueError('the reference does not load: %s' % (failed,))
    f = names[job['entry_point']]
    began = time.process_time()
    arguments, values, atols = [], [], []
    for part in calls:
        atol = job['atol']
        for args in part:
            b = zygote.encode(args, _no_handle)
            v = f(*zygote.decode(b, 0, None)[0])
            if job['oracle'] == 'not-none':
                v = v is not None
            if atol == 0 and _is_floats(v):
                atol = FLOAT_ATOL
            how, value = b'V', None
            try:
                value = zygote.encode(v, _no_handle)
            except zygote.TooMuch:
                pass
            if value is None or len(value) > LARGE and not job['oracle'] and (atol == 0 or not _has_float(v)):
                how, value = b'D', digest(zygote.encode(v, _no_handle, True))
            arguments.append(_item(how + b))
            values.append(_item(how + value))
            atols.append(atol)
    arguments, values = b''.join(arguments), b''.join(values)
    # where the tolerance changes: (index, value), for base and plus
    steps = [(i, a) for i, a in enumerate(atols) if i == 0 or i == len(calls[0]) or a != atols[i - 1]]
    # whole seconds, so that long jobs can begin first
    head = {'n': len(atols), 'n_base': len(calls[0]), 'atol': steps, 'arguments': len(arguments), 'values': len(values),
            'seconds': int(time.process_time() - began)}
    return json.dumps(head).encode() + b'\n' + arguments + values


def reference_inproc(job):
    """Both programs in this process, result against result: for results that are too large to cross."""
    task = json.loads(job['task'])
    failed, names = _load(job['reference'].encode('utf-8', 'surrogatepass'))
    if failed:
        return {'verdict': 'harness_error', 'detail': 'the reference does not load: %s' % (failed,), 'run': 0, 'total': 0}
    reference = names[job['entry_point']]
    calls = [read_arguments(c, job['form']) for k in ('base_input', 'plus_input') for c in task.get(k) or []]
    n_base = len(task.get('base_input') or [])
    failed, names = _load(job['program'].encode('utf-8', 'surrogatepass'))
    out = {'run': 0, 'total': len(calls)}
    if failed:
        verdict, detail = ('early_exit', 'SystemExit while loading') if failed[0] == b'X' else remote_verdict((failed[0], *failed[1]))
        return dict(out, verdict=verdict, detail=detail)
    f = names.get(job['entry_point'])
    if not callable(f):
        return dict(out, verdict='no_entry_point', detail='nothing defines %s' % job['entry_point'])
    atol = job['atol']
    for i, args in enumerate(calls):
        b = zygote.encode(args, _no_handle)
        exp = reference(*zygote.decode(b, 0, None)[0])
        if i == n_base:
            atol = job['atol']
        if atol == 0 and _is_floats(exp):
            atol = FLOAT_ATOL
        out['run'] = i + 1
        try:
            v = f(*zygote.decode(b, 0, None)[0])
        except BaseException as e:
            verdict, detail = ('early_exit', 'SystemExit') if isinstance(e, SystemExit) else remote_verdict((b'E', *describe(e)))
            return dict(out, verdict=verdict, detail='input %d: %s' % (i + 1, detail))
        if not right(v, exp, args, atol, job['oracle']):
            return dict(out, verdict='wrong_answer', detail='input %d of %d: %s; got %s' % (i + 1, len(calls), _short(exp), _short(v)))
        exp = v = None
    return dict(out, verdict='pass', detail='')


def _no_handle(x):
    raise ValueError('the reference has a %s' % type(x).__name__)


# ---- judging ----

def _short(v):
    r = reprlib.Repr()
    r.maxstring = r.maxother = 60
    try:
        return r.repr(v)[:120]
    except Exception:
        return '<%s>' % type(v).__name__


class Expected:
    """The file of a task, and what came of its answers."""

    def __init__(self, job, data):
        end = data.index(b'\n')
        head = json.loads(data[:end])
        self.job, self.n, self.n_base, self.steps = job, head['n'], head['n_base'], head['atol']
        at = end + 1
        self.arguments = data[at:at + head['arguments']]
        self.values = data[at + head['arguments']:at + head['arguments'] + head['values']]
        self.places = {}   # of a list: where its items begin

    def place(self, data, index):
        places = self.places.get(id(data))
        if places is None:
            at, places = 0, []
            while at < len(data):
                places.append(at)
                at += 4 + int.from_bytes(data[at:at + 4], 'little')
            self.places[id(data)] = places
        return places[index]

    def item(self, data, index):
        at = self.place(data, index)
        n = int.from_bytes(data[at:at + 4], 'little')
        return zygote.decode(data[at + 5:at + 4 + n], 0, None)[0]

    def asked(self, index):
        """V or D: how the answer is to be told."""
        at = self.place(self.values, index)
        return self.values[at + 4:at + 5]

    def atol(self, index):
        return [a for i, a in self.steps if i <= index][-1]

    def where(self, index):
        base = index < self.n_base
        return '%s input %d of %d' % ('base' if base else 'plus', index + 1 if base else index + 1 - self.n_base,
                                      self.n_base if base else self.n - self.n_base)

    def call(self, index):
        return '%s(%s)' % (self.job['entry_point'], ', '.join(_short(a) for a in self.item(self.arguments, index)))

    def differs(self, index, kind, body):
        """None if the answer is right all the same, else verdict, detail and index."""
        if kind == self.asked(index) == b'D':
            return 'wrong_answer', '%s: %s is something else (a large value)' % (self.where(index), self.call(index)), index
        if kind == b'N' and index == 0:
            return 'no_entry_point', 'nothing defines %s' % self.job['entry_point'], 0
        try:
            v, end = zygote.decode(body, 0, Opaque)
            if end != len(body):
                raise zygote.Malformed('bytes after the value')
        except zygote.Malformed as e:
            return 'protocol', '%s: %s' % (self.where(index), e), index
        except BadReturn as e:   # in a set, or a key
            return 'bad_return', '%s: %s: not plain data: %s' % (self.where(index), self.call(index), e), index
        if kind in (b'E', b'S') and type(v) is tuple and [type(e) for e in v] == [str, str, str, int]:
            verdict, detail = remote_verdict((kind, *v))
            return verdict, detail if kind == b'S' else '%s: %s: %s' % (self.where(index), self.call(index), detail), index
        if kind == b'B' and type(v) is tuple:
            return 'bad_return', '%s: not plain data: %s' % (self.where(index), v[2:3]), index
        if kind == b'X':
            return 'early_exit', '%s: SystemExit' % self.where(index), index
        if kind != b'V' or self.asked(index) != b'V':
            return 'protocol', '%s: an answer of no kind' % self.where(index), index
        exp = self.item(self.values, index)
        try:
            if right(v, exp, self.item(self.arguments, index), self.atol(index), self.job['oracle']):
                return None
        except BadReturn as e:
            return 'bad_return', '%s: %s: not plain data: %s' % (self.where(index), self.call(index), e), index
        return 'wrong_answer', '%s: %s is %s; got %s' % (self.where(index), self.call(index), _short(exp), _short(v)), index

    def judge(self):
        try:
            r = zygote.compare(3, self.values, self.differs)
        except ValueError as e:
            r = 'protocol', str(e), 0
        if type(r) is int:
            r = ('pass', '', r - 1) if r == self.n else ('gone', self.where(r), r)
        verdict, detail, index = r
        return {'verdict': verdict, 'detail': clean(detail), 'run': min(index + 1, self.n),
                'total': self.n}

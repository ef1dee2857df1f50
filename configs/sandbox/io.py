# io - tests that are inputs and outputs: programs that read and write, or functions by their JSON (bench(5), stdio)
#
# The candidate's process runs the program once a test in a child of its own and sends what that wrote; the checker
# compares.
import json
import re


# signals that say more than that a run crashed: SIGKILL, SIGXCPU, SIGXFSZ, SIGSYS
_ENDS = {9: ('memory', 'killed'), 24: ('timeout_cpu', 'one run'), 25: ('file_limit', 'one run'), 31: ('forbidden', 'a forbidden system call')}


class Outputs:
    """The tests of a task against answers of the candidate."""

    def __init__(self, job):
        self.job, self.tests, self.func = job, job['io'], job.get('entry_point')

    def judge(self, peer):
        at = 0
        try:
            found = peer.begin([self.func] if self.func else ['solution'], [])
            if self.func and not any(called for _, _, called in found):
                return self.report('no_entry_point', 'nothing defines %s' % self.func, 0)
            call = found[0][1] if self.func else None
            for at, t in enumerate(self.tests):
                wrong = self.called(call, t) if call else self.written(peer, t)
                if wrong:
                    return self.report(*wrong, at)
            peer.end()
            return self.report('pass', '', len(self.tests) - 1)
        except Gone:
            return self.report('gone', self.where(at), at)
        except Protocol as e:
            return self.report('protocol', '%s: %s' % (self.where(at), e), at)
        except BadReturn as e:
            return self.report('bad_return', '%s: not plain data: %s' % (self.where(at), e), at)
        except EarlyExit as e:
            return self.report('early_exit', '%s: SystemExit %s' % (self.where(at), e), at)
        except Exception as e:
            remote = getattr(e, 'apr_remote', None)
            if not remote:
                raise
            verdict, detail = remote_verdict(remote)
            return self.report(verdict, '%s: %s' % (self.where(at), detail), at)

    def report(self, verdict, detail, at):
        return {'verdict': verdict, 'detail': clean(detail), 'run': at + 1, 'total': len(self.tests)}

    def where(self, at):
        return 'test %d of %d' % (at + 1, len(self.tests))

    def called(self, call, t):
        args = [json.loads(line) for line in t['in'].split('\n') if line.strip()]
        got, want = call(*args), json.loads(t['out'])
        if not _same(got, want):
            return 'wrong_answer', '%s(%s) is %s; got %s' % (self.func, ', '.join(_short(a) for a in args), _short(want), _short(got))

    def written(self, peer, t):
        kind, v = peer.ask_input(t['in'])
        if kind != b'V':
            peer.result(kind, v)
        if type(v) is not tuple or [type(e) for e in v] != [str, int, bytes]:
            raise Protocol('an answer of no kind')
        how, number, out = v
        if how == 'fork':
            return 'harness_error', 'no process for a run'
        if how != 'exit':
            return (how if how in ('timeout_wall', 'output_limit') else 'protocol'), 'one run'
        if number == 121:   # as the driver ends when memory is out (candidate.py)
            return 'memory', 'out of memory'
        if number < 0:
            return _ENDS.get(-number, ('crash', 'signal %d' % -number))
        if number:
            return 'exception', 'exit status %d' % number
        wrong = outputs_differ(out.decode('utf-8', 'replace'), t['out'])
        if wrong:
            return 'wrong_answer', wrong


def _same(got, want):
    """Equal as JSON; a tuple counts as a list."""
    if type(got) in (list, tuple) and type(want) is list:
        return len(got) == len(want) and all(_same(a, b) for a, b in zip(got, want))
    if type(got) is dict and type(want) is dict:
        return got.keys() == want.keys() and all(_same(got[k], want[k]) for k in want)
    if (type(got) is bool) != (type(want) is bool):
        return got == want
    return type(got) is not Opaque and got == want


_NUMBER = re.compile(r'[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,4})?')


def _decimals(line):
    words = line.split()
    if not words or any(len(w) > 5000 or not _NUMBER.fullmatch(w) for w in words):
        return None
    from decimal import Decimal
    return [Decimal(w) for w in words]


def outputs_differ(got, want):
    """None if the lines are right, else what is wrong: white space at the ends does not count, numbers are decimals."""
    g, w = [[line.strip() for line in text.strip().split('\n')] for text in (got, want)]
    if len(g) != len(w):
        return 'expected %d line%s, got %d: %s' % (len(w), 's' if len(w) != 1 else '', len(g), _short(got))
    for i, (a, b) in enumerate(zip(g, w)):
        if a != b:
            x = _decimals(a)
            if x is None or x != _decimals(b):
                return 'line %d: expected %s, got %s' % (i + 1, _short(b), _short(a))

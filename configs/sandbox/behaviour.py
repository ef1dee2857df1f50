# behaviour - what code returns for given inputs, as digests: equal digests are equal results (behaviour/1)
import ast


def _rounded(v):
    """Floats to nine digits: two right ways to add the same numbers differ in the last ones."""
    t = type(v)
    if t is float:
        return float('%.9g' % v)
    if t is complex:
        return complex(_rounded(v.real), _rounded(v.imag))
    if t in (list, tuple, set, frozenset):
        return t(_rounded(e) for e in v)
    if t is dict:
        return {k: _rounded(e) for k, e in v.items()}
    return v


def _digest(b):
    import _blake2
    return _blake2.blake2b(b, digest_size=16).hexdigest()


class Behaviour:
    """Calls without a test: every result or error is written down."""

    def __init__(self, job):
        self.entry = job['entry_point']
        self.inputs = [ast.literal_eval('(%s,)' % text) if text.strip() else () for text in job['inputs']]

    def judge(self, peer):
        outputs = []
        verdict, detail = 'pass', ''
        try:
            found = peer.begin([self.entry], [(self.entry, args, {}) for args in self.inputs])
            if not any(called for _, _, called in found):
                verdict, detail = 'no_entry_point', 'nothing defines %s' % self.entry
            else:
                call = found[0][1]
                for args in self.inputs:
                    outputs.append(self.one(call, args))
                peer.end()
        except Gone:
            verdict, detail = 'gone', 'input %d of %d' % (len(outputs) + 1, len(self.inputs))
        except Protocol as e:
            verdict, detail = 'protocol', str(e)
        except EarlyExit as e:
            verdict, detail = 'early_exit', 'SystemExit %s' % e
        except Exception as e:
            remote = getattr(e, 'apr_remote', None)
            if not remote:
                raise
            verdict, detail = remote_verdict(remote)
        return {'verdict': verdict, 'detail': clean(detail), 'run': len(outputs),
                'total': len(self.inputs), 'outputs': outputs}

    def one(self, call, args):
        try:
            v = call(*args)
            if type(v) is Opaque:
                return '!not plain data'
            return _digest(zygote.encode(_rounded(v), _handle, True))
        except BadReturn:
            return '!not plain data'
        except EarlyExit:
            return '!SystemExit'
        except (zygote.TooMuch, RecursionError):
            return '!too much'
        except Exception as e:
            remote = getattr(e, 'apr_remote', None)
            if not remote or remote[0] == b'S':   # it did not load: no call will do better
                raise
            return '!' + clean(remote[1])[:60]

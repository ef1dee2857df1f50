# candidate - inside the jail: run the code, then answer calls on descriptor 3
#
# Nothing here is trusted: the code can change all of it.  It holds no test, no expected value, and no
# descriptor on which a verdict could be written.
import builtins
import gc
import os
import sys
import types

# a copy for all functions below, so that code which replaces len() or type() harms its own calls only
__builtins__ = dict(vars(builtins))

WARM = ''
_handles = []


def _handle(x):
    _handles.append(x)
    return len(_handles) - 1, bool(x)


def _by_number(number, truth, name):
    return _handles[number]


def describe(e):
    """(name, nearest built-in class, text, errno) of an exception that may lie about itself."""
    t = type(e)
    base = 'Exception'
    for c in t.__mro__:
        if c.__module__ == 'builtins':
            base = c.__name__
            break
    text, n = '', 0
    try:
        text = str(e)[:300]
        n = getattr(e, 'errno', 0)
    except BaseException:
        pass
    return (str(t.__name__)[:100], base, text, n if type(n) is int and 0 <= n < 1000 else 0)


def warm_role():
    describe(ValueError('warm'))
    _load(b'def f(x):\n    return [x, x + 1.5, "a"]\n')[1]['f'](1)


def _load(program):
    """(failure or None, names) of a program."""
    module = types.ModuleType('solution')
    sys.modules['solution'] = module
    try:
        code = compile(program, 'solution.py', 'exec', dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as e:
        return (b'S', describe(e)), module.__dict__
    try:
        exec(code, module.__dict__)
    except SystemExit:
        return (b'X', 'while loading'), module.__dict__
    except BaseException as e:
        return (b'E', describe(e)), module.__dict__
    return None, module.__dict__


def _reply(nonce, kind, value):
    try:
        body = zygote.encode(value, _handle)
        if len(body) > zygote.MAX_FRAME - 64:
            raise zygote.TooMuch('%d bytes' % len(body))
    except zygote.TooMuch as e:
        kind, body = b'B', zygote.encode(str(e), _handle)
    except RecursionError:
        kind, body = b'B', zygote.encode('nested too deep', _handle)
    except SystemExit:
        kind, body = b'X', zygote.encode('', _handle)
    except BaseException as e:
        kind, body = b'E', zygote.encode(describe(e), _handle)
    zygote.send(3, (9 + len(body)).to_bytes(4, 'little') + nonce + kind + body)


def run():
    leave = os._exit
    failed, names = _load(zygote.payload(4))
    while True:
        b = zygote.receive(3)
        if b is None:
            leave(0)
        nonce, op = b[:8], b[8:9]
        if op == b'P':
            _reply(nonce, b'V', None)
            continue
        request = ('',)
        try:
            request, _ = zygote.decode(b, 9, _by_number)
            if failed is not None:
                _reply(nonce, *failed)
            elif op == b'N':  # which of these names are there, and as what
                found = []
                for name in request:
                    v = names.get(name, types)
                    if not isinstance(v, types.ModuleType):
                        found.append((name, callable(v), None if callable(v) else v))
                _reply(nonce, b'V', found)
            else:
                name, args, kwargs = request
                _reply(nonce, b'V', names[name](*args, **kwargs))
        except SystemExit:
            _reply(nonce, b'X', 'in ' + str(request[0])[:100] if op == b'C' else '')
        except BaseException as e:
            _reply(nonce, b'E', describe(e))

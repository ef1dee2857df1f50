# candidate - inside the jail: run the code, then answer calls on descriptor 3
#
# Nothing here is trusted: the code can change all of it.  It holds no test, no expected value, and no
# descriptor on which a verdict could be written.
import os
import sys
import types


def _describe(e):
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
    _describe(ValueError('warm'))


def run(payload):
    read, write, leave = os.read, os.write, os._exit
    handles = []

    def handle(x):
        handles.append(x)
        return len(handles) - 1, bool(x)

    def receive(n):
        parts = []
        while n > 0:
            b = read(3, min(n, 1 << 20))
            if not b:
                leave(0)
            parts.append(b)
            n -= len(b)
        return b''.join(parts)

    def reply(nonce, kind, value):
        try:
            body = encode(value, handle)
            if len(body) > MAX_FRAME - 64:
                raise TooMuch('%d bytes' % len(body))
        except TooMuch as e:
            kind, body = b'B', encode(str(e), handle)
        except RecursionError:
            kind, body = b'B', encode('nested too deep', handle)
        except SystemExit:
            kind, body = b'X', encode('', handle)
        except BaseException as e:
            kind, body = b'E', encode(_describe(e), handle)
        b = _u32.pack(9 + len(body)) + nonce + kind + body
        while b:
            b = b[write(3, b):]

    module = types.ModuleType('solution')
    sys.modules['solution'] = module
    failed = None
    try:
        program = compile(payload, 'solution.py', 'exec', dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as e:
        failed = (b'S', _describe(e))
    if failed is None:
        try:
            exec(program, module.__dict__)
        except SystemExit:
            failed = (b'X', 'while loading')
        except BaseException as e:
            failed = (b'E', _describe(e))
    del payload
    while True:
        b = receive(_u32.unpack(receive(4))[0])
        nonce, op = b[:8], b[8:9]
        if op == b'P':
            reply(nonce, b'V', None)
            continue
        try:
            request, _ = decode(b, 9, lambda number, truth, name: handles[number])
            if failed is not None:
                reply(nonce, *failed)
            elif op == b'N':  # which of these names are there, and as what
                found = []
                for name in request:
                    v = module.__dict__.get(name, types)
                    if not isinstance(v, types.ModuleType):
                        found.append((name, callable(v), None if callable(v) else v))
                reply(nonce, b'V', found)
            else:
                name, args, kwargs = request
                reply(nonce, b'V', module.__dict__[name](*args, **kwargs))
        except SystemExit:
            reply(nonce, b'X', 'in ' + str(request[0])[:100] if op == b'C' else '')
        except BaseException as e:
            reply(nonce, b'E', _describe(e))

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


def digest(b):
    import _blake2
    return _blake2.blake2b(b, digest_size=16).digest()


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


def _section(payload, at):
    n = int.from_bytes(payload[at:at + 4], 'little')
    return payload[at + 4:at + 4 + n], at + 4 + n


def _answer_all(payload):
    """The entry point's name, the program, a list of arguments: every call is made, none is asked for."""
    entry, at = _section(payload, 1)
    program, at = _section(payload, at)
    failed, names = _load(program)
    f = names.get(entry.decode())
    if failed is None and not callable(f):
        failed = b'N', None
    if failed is not None:
        body = failed[0] + zygote.encode(failed[1], _handle)
        zygote.send(3, len(body).to_bytes(4, 'little') + body)
    else:
        zygote.answer(3, payload[at:], f, _handle, describe, digest)
    os._exit(0)


# ---- programs that read standard input ----

RUN_OUTPUT = 1 << 24   # bytes that one run may write


def _be_program(code, stdin, stdout):
    """In the child: be the program, with this input and output; nothing of ours stays open."""
    os.dup2(stdin, 0)
    os.dup2(stdout, 1)
    os.closerange(3, 64)
    status = 0
    try:
        gc.enable()
        exec(code, {'__name__': '__main__', '__builtins__': builtins})
    except SystemExit as e:
        status = e.code if type(e.code) is int else 0 if e.code is None else 1
    except BaseException:
        import traceback
        traceback.print_exc()
        status = 1
    try:
        if 'threading' in sys.modules:
            sys.modules['threading']._shutdown()
        sys.stdout.flush()
    except BaseException:
        status = status or 1
    os._exit(status & 255)


def _one_run(code, text, wall):
    """('exit', status or -signal, output), ('timeout_wall' or 'output_limit', 0, b'')."""
    import select
    import time
    end = time.monotonic() + wall
    text = text.encode('utf-8', 'surrogatepass')
    stdin_r, stdin_w = os.pipe()
    out_r, out_w = os.pipe()
    pid = os.fork()
    if pid == 0:
        _be_program(code, stdin_r, out_w)
    os.close(stdin_r)
    os.close(out_w)
    os.set_blocking(stdin_w, False)
    os.set_blocking(out_r, False)
    out, n, why, status = [], 0, 'exit', None
    while True:
        r, w, _ = select.select([out_r], [stdin_w] if stdin_w >= 0 else [], [], 0.02)
        if w:
            try:
                text = text[os.write(stdin_w, text[:65536]):]
            except OSError:
                text = b''
            if not text:
                os.close(stdin_w)
                stdin_w = -1
        b = b''
        if r:
            b = os.read(out_r, 1 << 20)
            out.append(b)
            n += len(b)
        if why == 'exit' and (n > RUN_OUTPUT or time.monotonic() > end):
            why = 'output_limit' if n > RUN_OUTPUT else 'timeout_wall'
            os.kill(pid, 9)
        if status is None:
            done, s = os.waitpid(pid, os.WNOHANG)
            status = s if done else None
        if status is not None and (why != 'exit' or not b):   # what its own children write later is lost
            break
        if r and not b and status is None:
            _, status = os.waitpid(pid, 0)
            break
    if stdin_w >= 0:
        os.close(stdin_w)
    os.close(out_r)
    if why != 'exit':
        return why, 0, b''
    return 'exit', -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status), b''.join(out)


def _serve_input(payload):
    """A program that reads: seconds of wall time for one run, the program; an answer for each text."""
    wall = int.from_bytes(payload[1:5], 'little') / 1000
    failed, code = None, None
    try:
        code = compile(payload[5:], 'solution.py', 'exec', dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as e:
        failed = (b'S', describe(e))
    while True:
        b = zygote.receive(3)
        if b is None:
            os._exit(0)
        nonce, op = b[:8], b[8:9]
        if failed and op != b'P':
            _reply(nonce, *failed)
        elif op == b'I':
            _reply(nonce, b'V', _one_run(code, zygote.decode(b, 9, _by_number)[0], wall))
        else:   # N: there are no names; P
            _reply(nonce, b'V', [] if op == b'N' else None)


def run():
    leave = os._exit
    payload = zygote.payload(4)
    if payload[:1] == b'\0':   # no program begins so
        _answer_all(payload)
    if payload[:1] == b'\1':
        _serve_input(payload)
    failed, names = _load(payload)
    payload = None
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

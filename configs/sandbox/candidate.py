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
    import signal
    os.dup2(stdin, 0)
    os.dup2(stdout, 1)
    os.closerange(3, 64)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    status = 0
    try:
        gc.enable()
        exec(code, {'__name__': '__main__', '__builtins__': builtins})
    except SystemExit as e:
        status = e.code if type(e.code) is int else 0 if e.code is None else 1
    except MemoryError:
        os._exit(121)
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


def _end_all(pid):
    """Kill a run (0: it has ended) and what it left behind: this is the first process of the job's pid namespace."""
    try:
        if os.getpid() == 1:
            os.kill(-1, 9)
        elif pid:
            os.kill(pid, 9)
    except ProcessLookupError:
        pass


def _one_run(code, text, wall, cpu_s):
    """('exit', status or -signal, output), ('timeout_wall', 'output_limit' or 'fork', 0, b'')."""
    import select
    import time
    end = time.monotonic() + wall
    text = text.encode('utf-8', 'surrogatepass')
    stdin_r, stdin_w = os.pipe()
    out_r, out_w = os.pipe()
    try:
        pid = os.fork()
    except OSError:
        return 'fork', 0, b''
    if pid == 0:
        _be_program(code, stdin_r, out_w)
    os.close(stdin_r)
    os.close(out_w)
    os.set_blocking(stdin_w, False)
    os.set_blocking(out_r, False)
    out, n, why, status, pause, reading = [], 0, 'exit', None, 0.02, True
    while status is None or reading:
        r, w, _ = select.select([out_r] if reading else [], [stdin_w] if stdin_w >= 0 else [], [], pause)
        if w:
            try:
                text = text[os.write(stdin_w, text[:65536]):]
            except OSError:
                text = b''
            if not text:
                os.close(stdin_w)
                stdin_w = -1
        if r:
            b = os.read(out_r, 1 << 20)
            out.append(b)
            n += len(b)
            if not b:   # mostly the end of the process, which can be seen at once then
                reading, pause = False, 0.0005
        elif not reading:
            pause = min(2 * pause, 0.02)
        if why == 'exit' and (n > RUN_OUTPUT or time.monotonic() > end):
            why = 'output_limit' if n > RUN_OUTPUT else 'timeout_wall'
            if status is None:
                _end_all(pid)
        if status is None:
            done, s, use = os.wait4(pid, os.WNOHANG)
            if done:
                status = s
                _end_all(0)   # what its own children write later is lost
        if why != 'exit' and status is not None:
            break
    if stdin_w >= 0:
        os.close(stdin_w)
    os.close(out_r)
    try:   # those that were orphaned here: the next run has all processes to itself
        while os.getpid() == 1:
            os.waitpid(-1, 0)
    except ChildProcessError:
        pass
    if why != 'exit':
        return why, 0, b''
    number = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    if number == -9 and use.ru_utime + use.ru_stime > cpu_s / 2:   # RLIMIT_CPU, whose limits are one
        number = -24
    return 'exit', number, b''.join(out)


def _serve_input(payload):
    """A program that reads: milliseconds and CPU seconds of a run, the program; an answer for each text."""
    import signal
    signal.signal(signal.SIGINT, signal.SIG_DFL)   # from a program, to the first process of its namespace: ignored
    wall, cpu_s = int.from_bytes(payload[1:5], 'little') / 1000, int.from_bytes(payload[5:9], 'little')
    failed, code = None, None
    try:
        code = compile(payload[9:], 'solution.py', 'exec', dont_inherit=True)
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
            _reply(nonce, b'V', _one_run(code, zygote.decode(b, 9, _by_number)[0], wall, cpu_s))
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

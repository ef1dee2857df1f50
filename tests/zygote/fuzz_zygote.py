# fuzz_zygote - random and damaged bytes for everything in lib/zygote that reads them, and what it leaves behind
#
#   gcc -shared -fPIC -g -O1 -D_GNU_SOURCE -fsanitize=address,undefined -iquote lib $(python3-config --includes) lib/zygote/*.c -o DIR/zygote.so
#   LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)" ASAN_OPTIONS=detect_leaks=0 \
#       PYTHONMALLOC=malloc PYTHONPATH=DIR /usr/bin/python3 tests/zygote/fuzz_zygote.py fuzz [seconds [seed]]
#   PYTHONPATH=build/lib/apr /usr/bin/python3 tests/zygote/fuzz_zygote.py leaks
#
# Prints TAP.  Each round has a seed of its own, one more than the one before: after a memory error, which ends the process, go on
# from the seed in the last line.
import os
import random
import socket
import struct
import sys
import time
from collections import Counter, OrderedDict, defaultdict

import zygote

TAGS = b'NTFjifslStZdbyckro'
u32 = lambda n: struct.pack('<I', n & 0xffffffff)
EDGES = [0, 1, 2, 4, 5, 9, 63, 64, 65, 255, 256, 1 << 16, (1 << 19) - 1, 1 << 19, (1 << 19) + 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1,
         (1 << 24) - 64, 1 << 24, (1 << 24) + 64, (1 << 24) + 65, (1 << 31) - 1, 1 << 31, (1 << 32) - 1]


class Refused(BaseException):
    """As Opaque refuses: no Exception."""


class Opaque:
    def __init__(self, number, truth, name):
        self.truth = truth

    def __bool__(self):
        return self.truth

    def refuse(self, *_):
        raise Refused
    __hash__ = __eq__ = __lt__ = __index__ = refuse


class Meta(type):
    @property
    def __name__(cls):
        return rnd.choice(['\ud800', 5, None, 'x' * 1000, b'', '\0'])


class Strange(metaclass=Meta):
    """What it does when its truth is asked for: change what holds it, fail, lie."""

    def __init__(self, holder):
        self.holder = holder

    def __bool__(self):
        h = self.holder
        k = rnd.randrange(6)
        if k == 0 and type(h) in (list, set, dict):
            h.clear()
        elif k == 1 and type(h) is list:
            h.append(self)
        elif k == 2 and type(h) is list and h:
            h.pop(0)
        elif k == 3:
            raise rnd.choice([ValueError, SystemExit, MemoryError, RecursionError, KeyboardInterrupt])('x')
        elif k == 4:
            return 'no bool'
        return True


def tree(depth=0):
    """Bytes with the shape of a value, and counts that may lie."""
    tag = rnd.choice(TAGS) if depth < 5 else rnd.choice(b'NTFjfs')
    n = rnd.choice(EDGES) if rnd.randrange(60) == 0 else rnd.randrange(4)
    some = lambda: b''.join(tree(depth + 1) for _ in range(min(n, 4)))
    c = bytes([tag])
    if tag in b'NTF':
        return c
    if tag in b'lStZ':
        return c + u32(n) + some()
    if tag in b'd':
        return c + u32(n) + some() + some()
    if tag in b'isbyk':
        b = rnd.choice([b'int', b'type', b'\xff', b'', bytes(rnd.randrange(256) for _ in range(rnd.randrange(9)))])
        return c + u32(len(b) if rnd.randrange(20) else n) + b
    if tag in b'r':
        return c + tree(depth + 1) + tree(depth + 1) + tree(depth + 1)
    if tag in b'o':
        return c + u32(n) + bytes([rnd.randrange(3)]) + rnd.choice([b's', b's', b'b']) + u32(1) + b'x'
    return c + bytes(rnd.randrange(256) for _ in range(16 if tag in b'c' else 8 if tag in b'f' else 4))


def damage(b):
    m = bytearray(b)
    for _ in range(rnd.randrange(4)):
        if not m:
            break
        at = rnd.randrange(len(m))
        k = rnd.randrange(6)
        if k == 0:
            m[at] = rnd.choice(TAGS)
        elif k == 1:
            m[at] = rnd.randrange(256)
        elif k == 2:
            del m[at:]
        elif k == 3:
            m[at:at] = u32(rnd.choice(EDGES))
        elif k == 4:
            m[at:at + 4] = u32(rnd.choice(EDGES))
        else:
            m += m[at:at + 50]
    return bytes(m)


def value(depth=0):
    k = rnd.randrange(16 if depth < 4 else 8)
    if k < 3:
        return rnd.choice([None, True, 0, -1, 1 << 31, 1 << 63, -(1 << 64), 1 << rnd.randrange(4200), 0.5, float('nan'), 1j, 2 + 0j, 1e300, 'a', '\ud800',
                           '\0', b'x', bytearray(b'y'), int, type, Strange, range(3), range(-1, 1 << 70, 3)])
    if k < 5:
        return ''.join(chr(rnd.randrange(0x110000)) for _ in range(rnd.randrange(5)))
    if k < 7:
        return rnd.getrandbits(rnd.randrange(1, 200)) - (1 << 99)
    if k == 7:
        return object()
    n = range(rnd.randrange(5))
    if k < 10:
        v = [value(depth + 1) for _ in n]
        if rnd.randrange(4) == 0:
            v.append(Strange(v))
        return v
    if k == 10:
        return tuple(value(depth + 1) for _ in n)
    if k == 11:
        return {rnd.choice([i, str(i), (i, 1.5)]) for i in n}
    if k == 12:
        s = {i for i in n}
        s.add(Strange(s))
        return s
    d = {rnd.choice([i, str(i), (i,)]): value(depth + 1) for i in n}
    if k == 13:
        d['x'] = Strange(d)
        return d
    return rnd.choice([lambda d: d, lambda d: OrderedDict(d), lambda d: defaultdict(int, d), lambda d: Counter({'a': 1, 2: 3}), frozenset])(d)


def handle(x):
    return len(str(type(x))), bool(x)


SOME = (zygote.Malformed, zygote.TooMuch, ValueError, TypeError, SystemError, OverflowError, MemoryError, RecursionError, IndexError,
        RuntimeError, UnicodeError, Refused, SystemExit, KeyboardInterrupt, AttributeError, OSError)


def quietly(f, *args):
    try:
        return f(*args)
    except SOME:
        return None


def encoded():
    return quietly(zygote.encode, value(), handle, rnd.randrange(2)) or b'N'


def some_bytes():
    k = rnd.randrange(4)
    return tree() if k == 0 else damage(tree()) if k == 1 else damage(encoded()) if k == 2 else bytes(rnd.randrange(256) for _ in range(rnd.randrange(40)))


def items(make, n):
    return b''.join(u32(len(b)) + b for b in (make() for _ in range(n)))


def through_a_socket(sent, f):
    """f(fd) while the bytes come in pieces, and then the end."""
    a, b = socket.socketpair()
    with a, b:
        def send():
            try:
                at = 0
                while at < len(sent):
                    n = rnd2.choice([1, 3, 4, 100, 5000, 1 << 16])
                    a.sendall(sent[at:at + n])
                    at += n
            except OSError:
                pass
            try:
                a.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        if len(sent) < 50000:
            send()
            f(b.fileno())
            return
        pid = os.fork()   # no thread: compare() waits with Python's lock in its hand
        if pid == 0:
            b.close()
            send()
            os._exit(0)
        a.close()
        f(b.fileno())
        b.close()
        os.waitpid(pid, 0)


def differs(index, kind, body):
    k = rnd.randrange(12)
    if k == 0:
        return ('wrong', 'x', index)
    if k == 1:
        raise Refused
    if k < 6:
        quietly(zygote.decode, body, 0, Opaque)
    return None


def answers():
    kind = lambda: bytes([rnd.choice(b'VDEBXNS?')]) if rnd.randrange(9) else b''
    b = items(lambda: kind() + some_bytes(), rnd.randrange(7))
    if rnd.randrange(200) == 0:
        n = rnd.choice([1 << 18, (1 << 18) + 1, (1 << 24) + 64])
        b += u32(n) + b'V' + bytes(n - rnd.randrange(3))
    return damage(b) if rnd.randrange(2) and len(b) < 1 << 16 else b


def fuzz_round():
    for _ in range(20):
        b = some_bytes()
        quietly(zygote.decode, b, rnd.choice([0, 0, 0, 1, len(b), len(b) + 1, -1, 1 << 40]), Opaque)
    for _ in range(10):
        quietly(zygote.encode, value(), handle, rnd.randrange(2))
        quietly(zygote.encode, value(), rnd.choice([lambda x: (1, True), lambda x: 5, lambda x: (1 << 70, 2), None]), rnd.randrange(2))
    expected = items(lambda: rnd.choice([b'V', b'D', b'']) + some_bytes(), rnd.randrange(6))
    sent = expected + answers() if rnd.randrange(3) else answers()
    through_a_socket(sent, lambda fd: quietly(zygote.compare, fd, damage(expected) if rnd.randrange(4) == 0 else expected, differs))
    frame = lambda: bytes(8) + b'V' + some_bytes()
    sent = items(frame, rnd.randrange(4))
    sent = damage(sent) if rnd.randrange(2) else sent

    def receive(fd):
        for _ in range(5):
            zygote.pending(fd)
            if quietly(zygote.receive, fd) is None:
                break
    through_a_socket(sent, receive)
    arguments = items(lambda: rnd.choice([b'V', b'D', b'?', b'']) + (encoded() if rnd.randrange(3) else some_bytes()), rnd.randrange(6))
    if rnd.randrange(3) == 0:
        arguments = damage(arguments)

    def call(*args):
        if rnd.randrange(4) == 0:
            raise rnd.choice([ValueError, SystemExit, Refused, StopIteration])(value())
        return value()
    a, b = socket.socketpair()
    with a, b:
        a.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        a.setblocking(False)
        quietly(zygote.answer, a.fileno(), arguments, call, handle, lambda e: ('x', 'y', '', 0),
                rnd.choice([lambda b: bytes(16), lambda b: b'x' * 100, lambda b: 'no bytes']))
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with a, b:
        what = rnd.choice([b'', b'x', bytes(4), bytes(5)])
        fds = [os.memfd_create('x') for _ in range(rnd.randrange(5))]
        if what:
            b.sendmsg([what], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack('%di' % len(fds), *fds))] if fds else [])
        b.shutdown(socket.SHUT_WR)
        if not (len(what) >= 4 and len(fds) > 2):   # that is a job: descriptors 3 and 5 would be replaced
            quietly(zygote.next_job, a.fileno())
        for fd in fds:
            os.close(fd)
    # what was received and not used stays open: part of this process's life as a checker that ends then
    os.closerange(20, 64)


def fuzz(seconds, seed):
    global rnd, rnd2
    end, rounds = time.monotonic() + seconds, 0
    while rounds == 0 or time.monotonic() < end:
        if rounds % 500 == 0:
            print('# seed %d' % (seed + rounds), flush=True)
        rnd, rnd2 = random.Random(seed + rounds), random.Random(seed + rounds)
        fuzz_round()
        rounds += 1
    print('ok 1 - %d rounds from seed %d' % (rounds, seed))
    print('1..1')


def rss():
    with open('/proc/self/statm') as f:
        return int(f.read().split()[1]) * 4096


def leaks():
    global rnd, rnd2
    rnd = rnd2 = random.Random(1)
    plain = [1, 1 << 99, 'x', [1.5, (None, {'a': {2, 3}})], range(9), int, b'b', bytearray(b'c'), 1j, frozenset([1])]
    good = zygote.encode(plain, handle)
    with_handle = zygote.encode([object()], handle)
    bad = [b'l' + u32(2) + b's' + u32(3) + b'abc', b'd' + u32(1) + b'l' + u32(0) + b'N', b'S' + u32(1) + with_handle, b'Z' + u32(1) + b'l' + u32(0),
           b'r' + b'N' * 3, b'i' + u32(9), b'k' + u32(1) + b'x', b'o' + bytes(5) + b'b', b't' + u32(3) + b's' + u32(1) + b'x' + b'N', good[:-1], good + b'N']
    deep = []
    for _ in range(70):
        deep = [deep]
    a, b = socket.socketpair()
    fd, to = a.fileno(), b.fileno()
    item = lambda v, how=b'V': u32(len(v) + 1) + how + v
    arguments = item(zygote.encode(((1, 'x'), {}), handle)) + item(zygote.encode(((1,), {}), handle), b'D')

    def fails(*_):
        raise ValueError('no')

    def exchange(n, f):
        os.write(to, n)
        quietly(f, fd)

    def answered(f):
        quietly(zygote.answer, fd, arguments, f, handle, lambda e: ('x', 'y', '', 0), lambda b: bytes(16))
        os.read(to, 1 << 16)
    work = {'encode': lambda: zygote.encode(plain, handle), 'encode canonical': lambda: zygote.encode(plain, handle, True),
            'encode what is too deep': lambda: quietly(zygote.encode, deep, handle), 'encode an object': lambda: zygote.encode([Opaque(1, True, '')], handle),
            'encode with a handle that fails': lambda: quietly(zygote.encode, [{1: Opaque}], fails), 'decode': lambda: zygote.decode(good, 0, Opaque),
            'decode damaged values': lambda: [quietly(zygote.decode, x, 0, Opaque) for x in bad],
            'decode with an opaque that fails': lambda: quietly(zygote.decode, with_handle, 0, fails),
            'receive': lambda: exchange(u32(9 + len(good)) + bytes(9) + good, zygote.receive), 'receive nonsense': lambda: exchange(u32(5), zygote.receive),
            'pending': lambda: zygote.pending(fd), 'peak': zygote.peak, 'send': lambda: (zygote.send(fd, good), os.read(to, 1 << 16)),
            'compare equal': lambda: exchange(item(good), lambda fd: zygote.compare(fd, item(good), differs)),
            'compare different': lambda: exchange(item(good), lambda fd: zygote.compare(fd, item(b'N'), lambda *a: ('wrong', '', 0))),
            'compare with a judge that fails': lambda: exchange(item(good), lambda fd: zygote.compare(fd, item(b'N'), fails)),
            'compare with a cut list': lambda: quietly(zygote.compare, fd, item(good)[:-1], differs),
            'compare nonsense': lambda: exchange(u32(1), lambda fd: zygote.compare(fd, item(b'N'), differs)),
            'answer': lambda: answered(lambda *a: plain), 'answer with errors': lambda: answered(fails), 'answer with objects': lambda: answered(lambda *a: [object()]),
            'answer what is too deep': lambda: answered(lambda *a: deep)}
    n_bad = 0
    for i, (what, f) in enumerate(work.items()):
        for _ in range(2000):
            f()
        before = rss()
        for _ in range(10 ** 5 if len(sys.argv) < 3 else int(sys.argv[2])):
            f()
        grown = rss() - before
        n_bad += grown > 1 << 20
        print('%s %d - %s: %d KiB more' % ('ok' if grown <= 1 << 20 else 'not ok', i + 1, what, grown >> 10))
    print('1..%d' % len(work))
    return n_bad > 0


if __name__ == '__main__':
    os.closerange(3, 10)
    for _ in range(10):
        os.open('/dev/null', os.O_RDWR)   # 3 to 5 are a job's, as in a checker
    if sys.argv[1:2] == ['leaks']:
        sys.exit(leaks())
    fuzz(float(sys.argv[2]) if len(sys.argv) > 2 else 5, int(sys.argv[3]) if len(sys.argv) > 3 else 1)

# test_codec - the codec in C against its definition in Python (codec.py): values, damaged bytes, bounds
#
#   PYTHONPATH=build/lib/apr /usr/bin/python3 tests/zygote/test_codec.py [seed]      prints TAP
import os
import random
import sys
from collections import Counter, OrderedDict, defaultdict

import zygote

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import codec  # noqa: E402

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 1
rnd = random.Random(seed)
n_test = n_bad = 0


def ok(good, what):
    global n_test, n_bad
    n_test += 1
    n_bad += not good
    print('%s %d - %s' % ('ok' if good else 'not ok', n_test, what))


class Thing:
    pass


def value(depth=0):
    k = rnd.randrange(20 if depth < 4 else 11)
    if k == 0:
        return rnd.choice([None, True, False])
    if k == 1:
        return rnd.randrange(-1 << 31, 1 << 31)
    if k == 2:
        return rnd.choice([-1, 1]) * rnd.getrandbits(rnd.randrange(1, 300))
    if k == 3:
        return rnd.choice([0.0, -0.0, 1e308, float('nan'), float('-inf'), rnd.random()])
    if k == 4:
        return ''.join(chr(rnd.choice([rnd.randrange(32, 127), rnd.randrange(0x110000)])) for _ in range(rnd.randrange(6)))
    if k == 5:
        return os.urandom(0) + bytes(rnd.randrange(256) for _ in range(rnd.randrange(6)))
    if k == 6:
        return bytearray(b'xy')
    if k == 7:
        return complex(rnd.random(), -1)
    if k == 8:
        return range(rnd.randrange(9), 1 << rnd.randrange(40), rnd.choice([1, -2, 7]))
    if k == 9:
        return rnd.choice([int, str, type(None), object, Thing, len, Thing()])
    if k == 10:
        return rnd.choice([1 << 31, -(1 << 31), (1 << 31) - 1, -(1 << 31) - 1, 1 << 63, -(1 << 63), 127, -128, 255])
    n = rnd.randrange(5)
    if k in (11, 12):
        return [value(depth + 1) for _ in range(n)]
    if k in (13, 14):
        return tuple(value(depth + 1) for _ in range(n))
    if k == 15:
        return {rnd.randrange(99) for _ in range(n)}
    if k == 16:
        return frozenset(str(rnd.randrange(99)) for _ in range(n))
    d = {rnd.choice([rnd.randrange(99), str(rnd.randrange(99)), (1, 2)]): value(depth + 1) for _ in range(n)}
    return d if k < 19 else rnd.choice([OrderedDict, lambda d: defaultdict(int, d), lambda d: Counter({'a': 2})])(d)


def handle(x):
    return 7, True


def opaque(number, truth, name):
    return 'handle', number, truth, name


def outcome(f, errors, *args):
    try:
        return repr(f(*args))
    except errors:
        return 'refused'


both_encode = lambda v: (outcome(zygote.encode, zygote.TooMuch, v, handle), outcome(codec.encode, codec.TooMuch, v, handle))
both_decode = lambda b, at=0: (outcome(zygote.decode, zygote.Malformed, b, at, opaque), outcome(codec.decode, codec.Malformed, b, at, opaque))

values = [value() for _ in range(20000)]
different = [v for v in values if len(set(both_encode(v))) != 1]
ok(not different, '20000 values: the same bytes (seed %d) %s' % (seed, different[:1]))
encoded = [zygote.encode(v, handle) for v in values]
different = [b for b in encoded if len(set(both_decode(b))) != 1]
ok(not different, 'and the same values back %s' % different[:1])
ok(all(zygote.decode(b, 0, opaque)[1] == len(b) for b in encoded), 'the position behind the value is its end')

# canonical: equal values give equal bytes, others do not
pool = [0, 1, True, 1.0, 1 + 0j, -0.0, 2, 2.5, 2.5 + 0j, 1 << 31, float(1 << 31), 1 << 62, float(1 << 62), 1 << 63, float(1 << 63),
        1 << 64, float(1 << 64), -(1 << 31) - 1, float(-(1 << 31) - 1), 1e300, int(1e300), 'a', 'b', b'a', bytearray(b'a'), None,
        (1, 2), (True, 2.0), [1, 2], [1.0, 2], {1, 2}, frozenset([2, True]), {2.0, 1}, {'a': 1, 'b': 2}, OrderedDict(b=2, a=1.0),
        Counter({'b': 2, 'a': 1}), {1: [1]}, {1.0: [True]}, {(1, 'x'): {3, 4}}, {(True, 'x'): {4.0, 3}}, 255, 256, 32767, 65535, -128, -129,
        (1 << 55) - 1, 1 << 55, -(1 << 55), (1 << 63) - 1, -(1 << 63)]
canonical = [zygote.encode(v, handle, True) for v in pool]
wrong = [(a, b) for a, x in zip(pool, canonical) for b, y in zip(pool, canonical) if (a == b) != (x == y)]
ok(not wrong, 'canonical: bytes are equal where Python says so %s' % wrong[:2])
ok(all(zygote.decode(b, 0, opaque)[0] == v for v, b in zip(pool, canonical)), 'and mean the same')
ints = [s * ((1 << k) + d) for k in range(130) for d in (-1, 0, 1) for s in (1, -1)]
ok(all(zygote.encode(v, handle) == codec.encode(v, handle) for v in ints), 'ints at every length')

# damage: a byte changed, cut off, put in; a count enlarged
damaged, refused, different = 0, 0, []
for b in rnd.sample(encoded, 4000):
    for _ in range(5):
        m = bytearray(b)
        at = rnd.randrange(len(m))
        k = rnd.randrange(4)
        if k == 0:
            m[at] = rnd.choice(b'NTFjifslStZdbyckro\0\xff\x7f') if rnd.randrange(2) else rnd.randrange(256)
        elif k == 1:
            del m[at:]
        elif k == 2:
            m.insert(at, rnd.randrange(256))
        else:
            m[at:at + 4] = rnd.choice([0xffffffff, 1 << 20, 1 << 24, len(b), len(b) + 1]).to_bytes(4, 'little')
        mine, theirs = both_decode(bytes(m))
        damaged += 1
        refused += mine == 'refused'
        if mine != theirs:
            different.append(bytes(m))
ok(not different, '%d damaged encodings (%d refused): the same outcome %s' % (damaged, refused, different[:1]))

# bounds
loop = []
loop.append(loop)
deep = []
for _ in range(63):
    deep = [deep]
u32 = lambda n: n.to_bytes(4, 'little')
for what, v in (('a list in itself', loop), ('65 levels', [deep]), ('more than a million items', [0] * (1 << 20)),
                ('an int of 2^22 bits', 1 << (1 << 22) + 8), ('a text beyond a frame', 'x' * (1 << 24))):
    ok(set(both_encode(v)) == {'refused'}, 'encode refuses ' + what)
ok(both_encode(deep)[0] == both_encode(deep)[1] != 'refused', '64 levels cross')
for what, b in (('a count without bytes', b'l' + u32(1 << 24)), ('nested counts that only claim', (b'l' + u32(4000)) * 60 + b'N' * 4096),
                ('66 levels', (b'l' + u32(1)) * 67 + b'N'), ('an unhashable key', b'd' + u32(1) + b'l' + u32(0) + b'N'),
                ('an unhashable element', b'S' + u32(1) + b'l' + u32(0)), ('a range of step 0', b'rj\0\0\0\0j\1\0\0\0j\0\0\0\0'),
                ('a range of floats', b'r' + (b'f' + bytes(8)) * 3), ('an unknown type', b'k' + u32(4) + b'eval'),
                ('text that is no UTF-8', b's' + u32(1) + b'\xff'), ('an int beyond the bound', b'i' + u32((1 << 19) + 1) + bytes((1 << 19) + 1)),
                ('nothing', b''), ('a handle without a name', b'o' + bytes(6))):
    ok(set(both_decode(b)) == {'refused'}, 'decode refuses ' + what)
try:
    zygote.decode(b'N', 2, opaque)
    ok(False, 'a position beyond the bytes')
except zygote.Malformed:
    ok(True, 'a position beyond the bytes')
print('1..%d' % n_test)
sys.exit(n_bad > 0)

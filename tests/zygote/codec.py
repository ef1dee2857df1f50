# codec - plain data as bytes: what may cross between the candidate and the checker, and nothing else
#
# None, bool, int, float, complex, str, bytes, bytearray, list, tuple, set, frozenset, dict, range by their
# exact types, the built-in types themselves (as names), and handles for everything else.  Decoding builds
# fresh values; nothing is unpickled or evaluated.  Both sides bound depth, items and bytes.
import builtins
import struct
from collections import Counter, OrderedDict, defaultdict

# a copy for all functions below, so that code which replaces len() or type() harms its own calls only
__builtins__ = dict(vars(builtins))

MAX_DEPTH, MAX_ITEMS, MAX_INT, MAX_FRAME = 64, 1 << 20, 1 << 19, 1 << 24
TYPES = {t.__name__: t for t in (int, float, complex, bool, str, bytes, bytearray, list, tuple, set,
                                 frozenset, dict, range, object, type)}
TYPES['NoneType'] = type(None)
_u32, _f64, _c128 = struct.Struct('<I'), struct.Struct('<d'), struct.Struct('<dd')


class TooMuch(Exception):
    """A value beyond the bounds."""


class Malformed(Exception):
    """Bytes that no encoder of ours writes."""


def encode(x, handle):
    """Bytes of x.  handle(x) -> (number, truth) is asked for what is not plain data."""
    out = []
    left = [MAX_ITEMS]

    def blob(tag, b):
        if len(b) > MAX_FRAME - 64:
            raise TooMuch('%d bytes in one value' % len(b))
        out.append(tag + _u32.pack(len(b)))
        out.append(b)

    def put(v, depth):
        t = type(v)
        left[0] -= 1
        if left[0] < 0:
            raise TooMuch('more than %d items' % MAX_ITEMS)
        if v is None:
            out.append(b'N')
        elif t is bool:
            out.append(b'T' if v else b'F')
        elif t is int:
            if -0x80000000 <= v < 0x80000000:
                out.append(b'j' + v.to_bytes(4, 'little', signed=True))
            else:
                n = v.bit_length() // 8 + 1
                if n > MAX_INT:
                    raise TooMuch('an integer of %d bytes' % n)
                blob(b'i', v.to_bytes(n, 'little', signed=True))
        elif t is float:
            out.append(b'f' + _f64.pack(v))
        elif t is str:
            blob(b's', v.encode('utf-8', 'surrogatepass'))
        elif t is list or t is tuple or t is set or t is frozenset:
            if depth >= MAX_DEPTH:
                raise TooMuch('nested more than %d deep' % MAX_DEPTH)
            tag = b'l' if t is list else b't' if t is tuple else b'S' if t is set else b'Z'
            out.append(tag + _u32.pack(len(v)))
            for e in v:
                put(e, depth + 1)
        elif t is dict or t is OrderedDict or t is defaultdict or t is Counter:
            if depth >= MAX_DEPTH:
                raise TooMuch('nested more than %d deep' % MAX_DEPTH)
            items = list(dict.items(v))
            out.append(b'd' + _u32.pack(len(items)))
            for k, e in items:
                put(k, depth + 1)
                put(e, depth + 1)
        elif t is bytes:
            blob(b'b', v)
        elif t is bytearray:
            blob(b'y', bytes(v))
        elif t is complex:
            out.append(b'c' + _c128.pack(v.real, v.imag))
        elif t is range:
            out.append(b'r')
            for e in (v.start, v.stop, v.step):
                put(e, depth + 1)
        elif t is type and TYPES.get(v.__name__) is v:
            blob(b'k', v.__name__.encode())
        else:
            number, truth = handle(v)
            out.append(b'o' + _u32.pack(number) + (b'\1' if truth else b'\0'))
            blob(b's', t.__name__.encode('utf-8', 'replace')[:200])

    put(x, 0)
    return b''.join(out)


def decode(b, pos, opaque):
    """(value, position behind it).  opaque(number, truth, type_name) makes the stand-in of a handle."""
    end = len(b)
    left = MAX_ITEMS

    def take(n):
        nonlocal pos
        if n > end - pos:
            raise Malformed('value cut off at byte %d of %d' % (pos, end))
        pos += n
        return b[pos - n:pos]

    def count():
        return _u32.unpack(take(4))[0]

    def get(depth):
        nonlocal left
        left -= 1
        if left < 0 or depth > MAX_DEPTH + 1:
            raise Malformed('too many items or too deep')
        t = take(1)
        if t == b'j':
            return int.from_bytes(take(4), 'little', signed=True)
        if t == b's':
            try:
                return take(count()).decode('utf-8', 'surrogatepass')
            except UnicodeDecodeError:
                raise Malformed('bad text') from None
        if t in b'ltSZ':
            n = count()
            if n > end - pos:
                raise Malformed('a count beyond the frame')
            v = [get(depth + 1) for _ in range(n)]
            try:
                return v if t == b'l' else tuple(v) if t == b't' else set(v) if t == b'S' else frozenset(v)
            except TypeError:
                raise Malformed('unhashable element') from None
        if t == b'd':
            n = count()
            if n > end - pos:
                raise Malformed('a count beyond the frame')
            d = {}
            for _ in range(n):
                k = get(depth + 1)
                try:
                    d[k] = get(depth + 1)
                except TypeError:
                    raise Malformed('unhashable key') from None
            return d
        if t == b'N':
            return None
        if t == b'T':
            return True
        if t == b'F':
            return False
        if t == b'i':
            n = count()
            if n > MAX_INT:
                raise Malformed('integer too long')
            return int.from_bytes(take(n), 'little', signed=True)
        if t == b'f':
            return _f64.unpack(take(8))[0]
        if t == b'b':
            return take(count())
        if t == b'y':
            return bytearray(take(count()))
        if t == b'c':
            return complex(*_c128.unpack(take(16)))
        if t == b'r':
            v = [get(depth + 1) for _ in range(3)]
            if any(type(e) is not int for e in v) or v[2] == 0:
                raise Malformed('bad range')
            return range(*v)
        if t == b'k':
            name = take(count()).decode('utf-8', 'replace')
            if name not in TYPES:
                raise Malformed('unknown type')
            return TYPES[name]
        if t == b'o':
            number = count()
            truth = take(1) == b'\1'
            if take(1) != b's':
                raise Malformed('handle without a name')
            return opaque(number, truth, take(count()).decode('utf-8', 'replace')[:200])
        raise Malformed('unknown tag')

    v = get(0)
    return v, pos

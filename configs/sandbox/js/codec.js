// codec - plain data as bytes, and frames: configs/sandbox/wire.md for JavaScript
//
// Decoding builds fresh values; nothing is evaluated, no prototype comes from outside.
'use strict';
const fs = require('fs');
const { types } = require('util');

const MAX_DEPTH = 64, MAX_ITEMS = 1 << 20, MAX_INT = 1 << 17, MAX_FRAME = 1 << 24;
const N = 0x4e, T = 0x54, F = 0x46, U = 0x55, J = 0x6a, I = 0x69, D = 0x66, S = 0x73, B = 0x62, L = 0x6c,
    TUPLE = 0x74, DICT = 0x64, SET = 0x53, MAP = 0x4d, DATE = 0x44, OPAQUE = 0x6f;

// copies, so that code which replaces them harms its own calls only
const { isArray } = Array, { getPrototypeOf, keys, defineProperty } = Object, { isInteger } = Number;
const isNegativeZero = (x) => x === 0 && 1 / x < 0;
const call = Function.prototype.call.bind.bind(Function.prototype.call);
const forEachOfMap = call(Map.prototype.forEach), forEachOfSet = call(Set.prototype.forEach);
const timeOf = call(Date.prototype.getTime), charCodeAt = call(String.prototype.charCodeAt);
const lone = /[\ud800-\udfff]/u; // with "u" a pair is one character, so this finds the halves
const hasLone = call(RegExp.prototype.test);

class TooMuch extends Error {} // a value beyond the bounds
class Malformed extends Error {} // bytes that no encoder of ours writes
class Gone extends Error {} // the other end is closed

class Out {
    constructor() {
        this.b = Buffer.allocUnsafe(1024);
        this.n = 0;
    }
    room(k) {
        if (this.n + k > MAX_FRAME - 64)
            throw new TooMuch(`${this.n + k} bytes in one frame`);
        if (this.n + k > this.b.length) {
            const b = Buffer.allocUnsafe(2 * (this.n + k));
            this.b.copy(b, 0, 0, this.n);
            this.b = b;
        }
    }
    byte(x) {
        this.room(1);
        this.b[this.n++] = x;
    }
    head(tag, count) {
        this.room(5);
        this.b[this.n] = tag;
        this.b.writeUInt32LE(count, this.n + 1);
        this.n += 5;
    }
    blob(tag, bytes) {
        this.head(tag, bytes.length);
        this.room(bytes.length);
        bytes.copy(this.b, this.n);
        this.n += bytes.length;
    }
    real(tag, x) {
        this.room(9);
        this.b[this.n] = tag;
        this.b.writeDoubleLE(x, this.n + 1);
        this.n += 9;
    }
}

// UTF-8 in which a half of a surrogate pair is encoded like any character (Python: surrogatepass)
function bytesOf(s) {
    if (!hasLone(lone, s))
        return Buffer.from(s, 'utf8');
    const parts = [];
    let from = 0;
    for (let i = 0; i < s.length; i++) {
        const c = charCodeAt(s, i);
        if (c < 0xd800 || c > 0xdfff)
            continue;
        const next = i + 1 < s.length ? charCodeAt(s, i + 1) : 0;
        if (c < 0xdc00 && next >= 0xdc00 && next < 0xe000) {
            i++;
            continue;
        }
        parts.push(Buffer.from(s.slice(from, i), 'utf8'));
        parts.push(Buffer.from([0xe0 | c >> 12, 0x80 | c >> 6 & 0x3f, 0x80 | c & 0x3f]));
        from = i + 1;
    }
    parts.push(Buffer.from(s.slice(from), 'utf8'));
    return Buffer.concat(parts);
}

function textOf(b) {
    const parts = [];
    let from = 0;
    const whole = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
    try {
        for (let i = b.indexOf(0xed); i >= 0; i = b.indexOf(0xed, i + 1))
            if (i + 2 < b.length && b[i + 1] >= 0xa0 && b[i + 1] < 0xc0 && (b[i + 2] & 0xc0) === 0x80) {
                parts.push(whole.decode(b.subarray(from, i)));
                parts.push(String.fromCharCode(0xd000 | (b[i + 1] & 0x3f) << 6 | b[i + 2] & 0x3f));
                from = i + 3;
            }
        parts.push(whole.decode(b.subarray(from)));
    } catch {
        throw new Malformed('bad text');
    }
    return parts.join('');
}

function bytesOfBigInt(x) { // two's complement, little-endian, with room for the sign
    if (BigInt.asIntN(8 * MAX_INT, x) !== x)
        throw new TooMuch(`an integer of more than ${MAX_INT} bytes`);
    let hex = (x < 0n ? -x : x).toString(16);
    // one bit more than the magnitude has, as Python's bit_length() // 8 + 1
    const n = Math.floor((4 * hex.length - Math.clz32(parseInt(hex[0], 16)) + 28) / 8) + 1;
    if (x < 0n)
        hex = ((1n << BigInt(8 * n)) + x).toString(16);
    return Buffer.from(hex.padStart(2 * n, '0'), 'hex').reverse();
}

function bigIntOf(b) {
    if (b.length === 0)
        return 0n;
    const x = BigInt('0x' + Buffer.from(b).reverse().toString('hex'));
    return b[b.length - 1] & 0x80 ? x - (1n << BigInt(8 * b.length)) : x;
}

const nameOf = (v) => {
    try {
        const c = typeof v === 'object' ? getPrototypeOf(v)?.constructor?.name : typeof v;
        return typeof c === 'string' ? c : 'object';
    } catch {
        return 'object';
    }
};

// Has Object's prototype or none, and is no object of another kind all the same.
const isPlain = (v) => !isArray(v) && !types.isArgumentsObject(v) && !types.isNativeError(v) && !types.isBoxedPrimitive(v) &&
    !types.isExternal(v);

// Append v to out.  opaque(v) -> number is asked for what is not plain data.
function encode(out, v, opaque) {
    let left = MAX_ITEMS;
    function put(v, depth) {
        if (--left < 0)
            throw new TooMuch(`more than ${MAX_ITEMS} items`);
        if (v === null)
            return out.byte(N);
        switch (typeof v) {
        case 'undefined':
            return out.byte(U);
        case 'boolean':
            return out.byte(v ? T : F);
        case 'number':
            if (isInteger(v) && v >= -0x80000000 && v < 0x80000000 && !isNegativeZero(v)) {
                out.room(5);
                out.b[out.n] = J;
                out.b.writeInt32LE(v, out.n + 1);
                out.n += 5;
                return;
            }
            return out.real(D, v);
        case 'bigint':
            return out.blob(I, bytesOfBigInt(v));
        case 'string':
            if (v.length > MAX_FRAME)
                throw new TooMuch(`a text of ${v.length} characters`);
            return out.blob(S, bytesOf(v));
        }
        const proto = typeof v === 'object' && !types.isProxy(v) ? getPrototypeOf(v) : undefined;
        if (depth >= MAX_DEPTH && typeof v === 'object')
            throw new TooMuch(`nested more than ${MAX_DEPTH} deep`);
        if (isArray(v) && proto === Array.prototype) {
            const n = v.length;
            if (n > left)
                throw new TooMuch(`more than ${MAX_ITEMS} items`);
            out.head(L, n);
            for (let i = 0; i < n; i++)
                put(v[i], depth + 1);
        } else if (types.isMap(v) && proto === Map.prototype) {
            const items = [];
            forEachOfMap(v, (e, k) => items.push(k, e));
            out.head(MAP, items.length / 2);
            for (const e of items)
                put(e, depth + 1);
        } else if (types.isSet(v) && proto === Set.prototype) {
            const items = [];
            forEachOfSet(v, (e) => items.push(e));
            out.head(SET, items.length);
            for (const e of items)
                put(e, depth + 1);
        } else if (types.isDate(v) && proto === Date.prototype) {
            out.real(DATE, timeOf(v));
        } else if (types.isUint8Array(v) && (proto === Uint8Array.prototype || proto === Buffer.prototype)) {
            out.blob(B, Buffer.from(v.buffer, v.byteOffset, v.byteLength));
        } else if ((proto === Object.prototype || proto === null) && isPlain(v)) {
            const names = keys(v);
            out.head(DICT, names.length);
            for (const k of names) {
                put(k, depth + 1);
                put(v[k], depth + 1);
            }
        } else {
            out.head(OPAQUE, opaque(v));
            out.byte(1); // whatever is not plain is true in JavaScript
            out.blob(S, bytesOf(nameOf(v).slice(0, 100)));
        }
    }
    put(v, 0);
}

// The value in b from pos to its end.  opaque(number, name) makes the stand-in of what is not plain data.
function decode(b, pos, opaque) {
    const end = b.length;
    let left = MAX_ITEMS;
    function take(n) {
        if (n > end - pos)
            throw new Malformed(`value cut off at byte ${pos} of ${end}`);
        pos += n;
        return pos - n;
    }
    const blob = () => {
        const n = b.readUInt32LE(take(4)), from = take(n);
        return b.subarray(from, from + n);
    };
    function count() {
        const n = b.readUInt32LE(take(4));
        if (n > end - pos)
            throw new Malformed('a count beyond the frame');
        return n;
    }
    function get(depth) {
        if (--left < 0 || depth > MAX_DEPTH + 1)
            throw new Malformed('too many items or too deep');
        const tag = b[take(1)];
        switch (tag) {
        case N:
            return null;
        case U:
            return undefined;
        case T:
            return true;
        case F:
            return false;
        case J:
            return b.readInt32LE(take(4));
        case D:
            return b.readDoubleLE(take(8));
        case I: {
            const x = blob();
            if (x.length > MAX_INT)
                throw new Malformed('integer too long');
            return bigIntOf(x);
        }
        case S:
            return textOf(blob());
        case B:
            return new Uint8Array(blob());
        case DATE:
            return new Date(b.readDoubleLE(take(8)));
        case L:
        case TUPLE: {
            const n = count(), v = [];
            for (let i = 0; i < n; i++)
                v.push(get(depth + 1));
            return v;
        }
        case SET: {
            const n = count(), v = new Set();
            for (let i = 0; i < n; i++)
                v.add(get(depth + 1));
            return v;
        }
        case MAP: {
            const n = count(), v = new Map();
            for (let i = 0; i < n; i++) {
                const k = get(depth + 1);
                v.set(k, get(depth + 1));
            }
            return v;
        }
        case DICT: {
            const n = count(), v = {};
            for (let i = 0; i < n; i++) {
                const k = get(depth + 1);
                if (typeof k !== 'string')
                    throw new Malformed('a key that is no string');
                // not v[k] = x: a key may be called __proto__
                defineProperty(v, k, { value: get(depth + 1), writable: true, enumerable: true, configurable: true });
            }
            return v;
        }
        case OPAQUE: {
            const number = b.readUInt32LE(take(4));
            take(1);
            if (b[take(1)] !== S)
                throw new Malformed('handle without a name');
            return opaque(number, textOf(blob()).slice(0, 200));
        }
        }
        throw new Malformed('unknown tag');
    }
    const v = get(0);
    if (pos !== end)
        throw new Malformed('bytes after the value');
    return v;
}

function readExactly(n) {
    const b = Buffer.allocUnsafe(n);
    for (let i = 0; i < n;) {
        let k = 0;
        try {
            k = fs.readSync(3, b, i, n - i, null);
        } catch (e) {
            if (e.code !== 'ECONNRESET')
                throw e;
        }
        if (k === 0)
            throw new Gone('closed');
        i += k;
    }
    return b;
}

// nonce (8 bytes), kind (a letter), value
function writeFrame(nonce, kind, value, opaque) {
    const out = new Out();
    out.n = 13;
    encode(out, value, opaque);
    out.b.writeUInt32LE(out.n - 4, 0);
    nonce.copy(out.b, 4);
    out.b[12] = kind.charCodeAt(0);
    for (let i = 0; i < out.n;) {
        try {
            i += fs.writeSync(3, out.b, i, out.n - i);
        } catch (e) {
            if (e.code !== 'EPIPE' && e.code !== 'ECONNRESET')
                throw e;
            throw new Gone('closed');
        }
    }
}

module.exports = { MAX_FRAME, TooMuch, Malformed, Gone, decode, readExactly, writeFrame };

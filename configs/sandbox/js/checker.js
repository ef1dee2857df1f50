// checker - runs the trusted test; every call of the entry point goes to the candidate's process
//
// node checker.js JOB, where JOB is a file with {nonce, task_id, entry_point, head, test}.  console.assert is ours: it
// stops the test.  The verdict is what has happened when the event loop is empty, never an exit status.
'use strict';
const fs = require('fs');
const util = require('util');
const vm = require('vm');
const { createRequire } = require('module');
const codec = require('./codec.js');

class Stop extends Error { // what ends the test; a test that catches it changes nothing
    constructor(verdict, detail) {
        super(detail);
        this.verdict = verdict;
    }
}

const job = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
const asserts = []; // offsets of the calls of console.assert in the test
let calls = 0, reached = 0, last, lastOpaque = null, stop = null;

// ---- the candidate ----

const urandom = fs.openSync('/dev/urandom', 'r');
function nonce() {
    const b = Buffer.allocUnsafe(8);
    if (fs.readSync(urandom, b, 0, 8, null) !== 8)
        throw new Error('/dev/urandom');
    return b;
}

// What the candidate returned and is not plain data: it is true, and nothing else can be asked of it.
function opaque(number, name) {
    const refuse = () => {
        throw halt('bad_return', `not plain data: ${name}`);
    };
    const traps = {};
    for (const t of Object.getOwnPropertyNames(Reflect))
        if (typeof Reflect[t] === 'function')
            traps[t] = refuse;
    const p = new Proxy({}, traps);
    lastOpaque = { p, name };
    return p;
}

function refuse(x) {
    throw halt('harness_error', `the test passes a ${typeof x}, which cannot cross`);
}

function halt(verdict, detail) {
    return stop ??= new Stop(verdict, detail);
}

function ask(op, value) {
    const n = nonce();
    let b;
    try {
        codec.writeFrame(n, op, value, refuse);
        const size = codec.readExactly(4).readUInt32LE(0);
        if (size < 10 || size > codec.MAX_FRAME)
            throw halt('protocol', `a frame of ${size} bytes`);
        b = codec.readExactly(size);
    } catch (e) {
        throw e instanceof codec.Gone ? halt('gone', '') : e;
    }
    if (!b.subarray(0, 8).equals(n))
        throw halt('protocol', 'an answer to another question');
    lastOpaque = null;
    try {
        last = codec.decode(b, 9, opaque);
    } catch (e) {
        throw e instanceof codec.Malformed ? halt('protocol', e.message) : e;
    }
    return result(String.fromCharCode(b[8]), last);
}

// Verdict and detail of an exception in the candidate.
function remote(kind, [name, base, text, errno]) {
    const detail = text ? `${name}: ${text}` : name;
    if (kind === 'S')
        return ['syntax_error', detail];
    if (base === 'MemoryError')
        return ['memory', detail];
    if (errno === 11)
        return ['process_limit', detail];
    if (errno === 27 || errno === 28 || errno === 122) // EFBIG, ENOSPC, EDQUOT
        return ['file_limit', detail];
    return ['exception', detail];
}

function result(kind, v) {
    if (kind === 'V')
        return v;
    if (kind === 'B')
        throw halt('bad_return', `not plain data: ${String(v).slice(0, 200)}`);
    const is = (i, t) => typeof v[i] === t;
    if ((kind === 'E' || kind === 'S') && Array.isArray(v) && v.length === 4 && is(0, 'string') && is(1, 'string') &&
        is(2, 'string') && is(3, 'number')) {
        const kinds = { RangeError, TypeError, ReferenceError, SyntaxError, EvalError, URIError };
        const e = new (Object.hasOwn(kinds, v[1]) ? kinds[v[1]] : Error)(v[2]);
        remotes.set(e, remote(kind, v));
        throw e; // a test may expect it
    }
    throw halt('protocol', 'an answer of no kind');
}
const remotes = new WeakMap();

function proxy(...args) {
    calls++;
    return ask('C', [job.entry_point, args]);
}

// ---- the test ----

const TEST = 'test.js';

// The number of the assert in which e was thrown; how many there are if it was in none.
function place(e) {
    const m = /test\.js:(\d+):(\d+)\)?$/m.exec(String(e?.stack)); // the first is the innermost
    if (!m)
        return asserts.length;
    const lines = source.split('\n');
    let offset = Number(m[2]) - 1;
    for (let i = 0; i < Number(m[1]) - 1; i++)
        offset += lines[i].length + 1;
    let k = -1;
    while (k + 1 < asserts.length && asserts[k + 1].from <= offset)
        k++;
    return k >= 0 && offset < asserts[k].to ? k : asserts.length;
}

// Where each call of console.assert begins and ends, by its parentheses outside strings.
function findAsserts(text) {
    for (const m of text.matchAll(/\bconsole\s*\.\s*assert\s*\(/g)) {
        let depth = 1, i = m.index + m[0].length, quote = '';
        for (; i < text.length && depth > 0; i++) {
            const c = text[i];
            if (quote) {
                if (c === '\\')
                    i++;
                else if (c === quote)
                    quote = '';
            } else if (c === '"' || c === "'" || c === '`') {
                quote = c;
            } else {
                depth += '([{'.includes(c) ? 1 : ')]}'.includes(c) ? -1 : 0;
            }
        }
        asserts.push({ from: m.index, to: i, text: text.slice(m.index + m[0].length, i - 1) });
    }
}

function short(v) {
    try {
        return util.inspect(v, { depth: 3, maxArrayLength: 20, maxStringLength: 60, breakLength: Infinity }).slice(0, 120);
    } catch {
        return `<${typeof v}>`;
    }
}

const got = () => lastOpaque ? `<${lastOpaque.name}>` : short(last);
const squeeze = (s) => s.replace(/\s+/g, ' ').trim();

// What an exception that ended the test, or a rejected promise, means.
function judge(e) {
    const at = place(stop ?? e), where = at < asserts.length ? `assert ${at + 1} of ${asserts.length}` : 'test';
    reached = at < asserts.length ? at + 1 : 0;
    if (stop) {
        if (lastOpaque && lastOpaque.p === last)
            return ['bad_return', `${where}: not plain data: ${lastOpaque.name}`];
        if (stop.verdict === 'wrong_answer')
            return ['wrong_answer', `${where}: ${squeeze(asserts[at]?.text ?? '').slice(0, 160)}; got ${got()}`];
        return [stop.verdict, stop.message ? `${where}: ${stop.message}` : where];
    }
    const r = typeof e === 'object' && e !== null ? remotes.get(e) : undefined;
    if (r)
        return r;
    if (lastOpaque)
        return ['bad_return', `${where}: not plain data: ${lastOpaque.name}`];
    if (calls === 0 || !(e instanceof Error))
        return ['harness_error', short(e)];
    return ['wrong_answer', `${where}: ${e.name}: ${String(e.message).slice(0, 200)}; got ${got()}`];
}

function report(verdict, detail) {
    const text = detail.slice(0, 600).replace(/[\ud800-\udfff]/gu, '?').replace(/\0/g, '?');
    const b = Buffer.from(JSON.stringify({
        nonce: job.nonce, verdict, detail: text, run: verdict === 'pass' ? asserts.length : reached, total: asserts.length,
    }));
    for (let i = 0; i < b.length;)
        i += fs.writeSync(5, b, i);
    process.reallyExit(0);
}

function fail(e) {
    report(...judge(e));
}

// The same numbers for the same task: mulberry32 over an FNV-1a hash of the task's name.
function seed(text) {
    let h = 0x811c9dc5;
    for (const c of Buffer.from(text))
        h = Math.imul(h ^ c, 0x01000193);
    Math.random = () => {
        h = h + 0x6d2b79f5 | 0;
        let t = Math.imul(h ^ h >>> 15, 1 | h);
        t = t + Math.imul(t ^ t >>> 7, 61 | t) ^ t;
        return ((t ^ t >>> 14) >>> 0) / 4294967296;
    };
}

const shim = Object.create(console, {
    assert: {
        value(condition) {
            if (!condition)
                throw halt('wrong_answer', 'assertion');
        },
    },
});

const source = `${job.head}\n${job.test}`;
process.on('uncaughtException', fail);
process.on('unhandledRejection', fail);
process.on('beforeExit', () => {
    if (stop)
        fail(stop);
    if (calls === 0)
        report('harness_error', 'the test does not call what it is to test');
    try {
        ask('P', null); // an answer too many would come here
    } catch (e) {
        if (e !== stop || stop.verdict !== 'gone')
            fail(e);
    }
    report('pass', '');
});
findAsserts(source);
seed(job.task_id);
Error.stackTraceLimit = 100;
let there = false;
try {
    there = ask('N', [job.entry_point]);
} catch (e) {
    fail(e);
}
if (there !== true)
    report('no_entry_point', `nothing defines ${job.entry_point}`);
last = undefined;
const names = ['console', 'require', job.entry_point];
const run = vm.compileFunction(source, names, { filename: TEST });
run(shim, createRequire('/tmp/test.js'), proxy);

// candidate - inside the jail: run the code, then answer calls on descriptor 3
//
// node candidate.js SOLUTION ENTRY.  Nothing here is trusted: the code can change all of it.  It holds no test, no expected
// value, and no descriptor on which a verdict could be written.
'use strict';
const fs = require('fs');
const vm = require('vm');
const { createRequire } = require('module');
const codec = require('./codec.js');

const [, , path, entry] = process.argv;
const exit = process.exit.bind(process);
process.argv.length = 1;

function describe(e) {
    const kinds = { RangeError, TypeError, ReferenceError, SyntaxError, EvalError, URIError };
    let name = 'Error', base = 'Error', text = '', errno = 0;
    try {
        if (e instanceof Error) {
            name = String(e.name);
            text = String(e.message);
            base = Object.keys(kinds).find((k) => e instanceof kinds[k]) ?? 'Error';
            errno = typeof e.errno === 'number' && e.errno < 0 && e.errno > -1000 ? -e.errno : 0;
            if (text.includes('EAGAIN')) // what a thread that cannot start says
                errno = 11;
            if (text === 'Array buffer allocation failed')
                base = 'MemoryError';
        } else {
            name = typeof e;
            text = String(e);
        }
    } catch {
    }
    return [name.slice(0, 100), base, text.slice(0, 300), errno];
}

function load() {
    const module = { exports: {} };
    const require = createRequire('/tmp/solution.js');
    const names = ['exports', 'require', 'module', '__filename', '__dirname'];
    // the entry point is a name in the code's scope, as it is for a test that stands behind it
    const text = `${fs.readFileSync(path, 'utf8')}\n;return typeof ${entry} === 'undefined' ? undefined : ${entry};`;
    let run;
    try {
        run = vm.compileFunction(text, names, { filename: 'solution.js' });
    } catch (e) {
        return ['S', describe(e)];
    }
    try {
        const f = run.call(module.exports, module.exports, require, module, '/tmp/solution.js', '/tmp');
        return ['V', f];
    } catch (e) {
        return ['E', describe(e)];
    }
}

const handles = [];
const handle = (x) => handles.push(x) - 1;

function reply(nonce, kind, value) {
    try {
        codec.writeFrame(nonce, kind, value, handle);
    } catch (e) {
        if (e instanceof codec.Gone)
            throw e;
        // a value that cannot be sent, or cannot even be looked at
        if (e instanceof codec.TooMuch)
            codec.writeFrame(nonce, 'B', e.message, handle);
        else
            codec.writeFrame(nonce, 'E', describe(e), handle);
    }
}

function serve() {
    const [kind, f] = load();
    for (;;) {
        const b = codec.readExactly(codec.readExactly(4).readUInt32LE(0));
        const nonce = b.subarray(0, 8), op = b[8];
        if (op === 0x50) { // P: are you there
            reply(nonce, 'V', null);
        } else if (kind !== 'V') {
            reply(nonce, kind, f);
        } else if (op === 0x4e) { // N: is the entry point there
            reply(nonce, 'V', typeof f === 'function');
        } else {
            let value, failed = 'V';
            try {
                const args = codec.decode(b, 9, (number) => handles[number])[1];
                value = f(...args);
            } catch (e) {
                failed = 'E';
                value = describe(e);
            }
            reply(nonce, failed, value);
        }
    }
}

try {
    serve();
} catch (e) {
    if (!(e instanceof codec.Gone))
        throw e;
}
exit(0);

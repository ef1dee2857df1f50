#!/usr/bin/python3
# test_langs - configs/sandbox/languages.py, js/ and cpp/: cutting prompts, values across the socket, hostile bytes
#
#     test_langs.py [-k PATTERN] [-v]
import json
import os
import random
import re
import socket
import struct
import subprocess
import sys
import tempfile
import unittest

import drive
from drive import TOP, lang_blank, lang_complaint, lang_defined, lang_program, lang_rlimits, lang_signature, lang_split

codec = {}
exec(drive.read(os.path.join(TOP, 'tests/zygote/codec.py')), codec)


def judge(lang, prompt, code, test, **more):
    return drive.judge({'task_id': 'T/0', 'prompt': prompt, 'test': test}, lang, code, **more)


class Cutting(unittest.TestCase):
    def test_every_prompt_and_declaration(self):
        for lang in ('cpp', 'c', 'javascript'):
            for t in drive.tasks(lang).values():
                head, header, entry = lang_split(lang, t['prompt'])
                self.assertTrue(t['prompt'].startswith(head), t['task_id'])
                if lang != 'javascript':
                    self.assertEqual(header, lang_split(lang, t['declaration'])[1])
                    self.assertEqual(entry, lang_signature(header)[1])
                self.assertIn(entry, header)

    def test_a_body_gets_the_prompt_and_whole_functions_the_head(self):
        for lang in ('cpp', 'c', 'javascript'):
            for t in drive.tasks(lang).values():
                head, _, entry = lang_split(lang, t['prompt'])
                body = t['canonical_solution']
                self.assertEqual(lang_program(lang, t['prompt'], body, entry), t['prompt'] + body)
                whole = t['prompt'][len(head):] + body
                self.assertEqual(lang_program(lang, t['prompt'], whole, entry), head + '\n' + whole)
                # with helpers that the prompt has too: once each, or they would be defined twice
                both = lang_program(lang, t['prompt'], t['prompt'] + body, entry)
                for name in lang_defined(head) if lang != 'javascript' else ():
                    self.assertEqual(len(re.findall(r'\b%s\s*\([^()]*\)\s*\{' % name, lang_blank(both))), 1, t['task_id'])

    def test_blank_keeps_places(self):
        text = '#define X "}" /* { */\n// {\nint f() { return \'{\' + "}\\"{"[0]; } /* open'
        blank = lang_blank(text)
        self.assertEqual(len(blank), len(text))
        self.assertEqual((blank.count('{'), blank.count('}'), blank.count('\n')), (1, 1, 2))
        self.assertEqual(lang_blank('R"x(})" {)x" }').strip(), '}')

    def test_defined(self):
        self.assertEqual(lang_defined('#include <x>\nint a(int x) { if (x) { return b(x); } }\nint c(int);\n'
                                      'auto d = [](int x) { return x; };\nstruct e { int f() { return 1; } };\nint g = h(1);'), {'a', 'd'})

    def test_broken_prompts(self):
        for prompt in ('', 'int f(int x);', 'int f(int x) { return 1; }', '/* int f() { */', 'struct s {'):
            with self.assertRaises(ValueError):
                lang_split('cpp', prompt)
        with self.assertRaises(ValueError):
            lang_split('javascript', '// nothing')
        with self.assertRaises(ValueError):
            lang_split('cpp', 'int f(int x) {', 'g')

    def test_complaints_are_short_and_plain(self):
        verdict, detail = lang_complaint(b'/tmp/x/y/solution.cpp:1:2: error: \xff\x1b[31m' + b'x' * 10000 + b'\n' + b'a.c:1: error: no\n' * 1000)
        self.assertEqual(verdict, 'compile_error')
        self.assertTrue(detail.startswith('solution.cpp:1:2: error: '))
        self.assertLessEqual(len(detail), 600)
        self.assertIsNone(re.search(r'[^ -~]', detail))
        self.assertEqual(lang_complaint(b''), ('compile_error', 'no message'))
        self.assertEqual(lang_complaint(b"call:1:5: error: '::f' has not been declared", 'f')[0], 'no_entry_point')
        self.assertEqual(lang_complaint(b"x.o: error: undefined reference to 'g'", 'f')[0], 'compile_error')

    def test_limits(self):
        import resource
        limits = dict(drive.LIMITS, cpu=1)
        self.assertEqual(lang_rlimits('cpp', 'build', limits)[resource.RLIMIT_CPU], drive.LANG_BUILD['cpu'])
        self.assertEqual(lang_rlimits('cpp', 'run', limits)[resource.RLIMIT_CPU], 1)
        self.assertIsNone(lang_rlimits('javascript', 'run', limits)[resource.RLIMIT_AS])


class Values(unittest.TestCase):
    """What the candidate is given and gives back is what the test has given and expects, in every type."""

    def same(self, lang, prompt, code, test, verdict='pass'):
        v = judge(lang, prompt, code, test)
        self.assertEqual(v['verdict'], verdict, v)
        return v

    def identity(self, types, includes=''):
        for i, (t, values) in enumerate(types):
            head = '%s#include <vector>\nusing namespace std;\n' % includes
            prompt = head + 'typedef %s T;\nT same(T x, const T &y, vector<T> z) {\n' % t
            test = '#include <assert.h>\nint main() {\n' + ''.join('{ T v = %s; assert(same(v, v, {v, v}) == v); }\n' % v for v in values) + '}\n'
            code = '    return z.size() == 2 && z[1] == y ? x : z[7];\n}\n'
            with self.subTest(type=t):
                self.same('cpp', prompt, code, test)

    def test_cpp_numbers(self):
        self.identity([
            ('bool', ['true', 'false']), ('char', ["'x'", "'\\0'", '(char)-128', '127']), ('unsigned char', ['255', '0']),
            ('short', ['-32768', '32767']), ('int', ['0', '-1', '2147483647', '-2147483647-1']), ('unsigned', ['4294967295u', '2147483648u']),
            ('long long', ['9223372036854775807LL', '-9223372036854775807LL-1', '2147483648LL', '-2147483649LL', '128LL<<56', '255LL<<40', '-(1LL<<55)']),
            ('unsigned long', ['18446744073709551615ul', '9223372036854775808ul']), ('float', ['0.1f', '-1e38f', '1/0.0f']),
            ('double', ['0.1', '-1e308', '4.9e-324', '1e300*1e300'])])

    def test_cpp_containers(self):
        every = '#include <array>\n#include <deque>\n#include <list>\n#include <map>\n#include <optional>\n#include <set>\n#include <string>\n' \
                '#include <tuple>\n#include <unordered_map>\n#include <unordered_set>\n'
        self.identity([
            ('string', ['"a"', 'string("\\0\\xff\\n", 3)', '""', 'string(100000, \'x\')']), ('vector<bool>', ['{true, false}', '{}']),
            ('vector<vector<string>>', ['{{"a", "b"}, {}}', '{}']), ('list<int>', ['{1, 2}']), ('deque<double>', ['{1.5}']),
            ('map<char, int>', ["{{'a', 1}, {'b', 2}}", '{}']), ('unordered_map<string, vector<int>>', ['{{"x", {1}}, {"y", {}}}']),
            ('multimap<int, int>', ['{{1, 2}, {1, 3}}']), ('set<pair<int, string>>', ['{{1, "a"}, {2, "b"}}']), ('multiset<int>', ['{1, 1, 2}']),
            ('unordered_set<long>', ['{1, 1L << 40}']), ('tuple<int, string, double>', ['{1, "x", 2.5}']), ('array<int, 3>', ['{1, 2, 3}']),
            ('optional<vector<int>>', ['{}', 'vector<int>{}', 'vector<int>{7}'])], every)

    def test_cpp_enum(self):
        self.same('cpp', 'enum class colour : short { red = -3, blue = 300 };\ncolour next(colour c) {\n',
                  'return c == colour::red ? colour::blue : colour::red; }', '#include <assert.h>\nint main() { assert(next(colour::red) == colour::blue); }')

    def test_cpp_references_come_back(self):
        prompt = '#include <vector>\nusing namespace std;\nvoid grow(vector<int> &v, const int &by, int &count) {\n'
        test = '#include <cassert>\nint main() { vector<int> v = {1}; int n = 5; grow(v, 3, n); assert(v.size() == 2); assert(v[1] == 3 && n == 6); }'
        self.same('cpp', prompt, 'v.push_back(by); count++; }', test)
        self.same('cpp', prompt, '}', test, 'wrong_answer')
        v = self.same('cpp', prompt, 'v.push_back(by); count += 2; }', test, 'wrong_answer')
        self.assertEqual((v['run'], v['total']), (2, 2))

    def test_cpp_not_a_number(self):
        prompt = '#include <math.h>\ndouble root(double x) {\n'
        self.same('cpp', prompt, 'return sqrt(x); }', '#include <assert.h>\nint main() { assert(std::isnan(root(-1))); }')
        v = self.same('cpp', prompt, 'return NAN; }', '#include <assert.h>\nint main() { double d = root(4) - 2; assert(!(d > 1e-4)); }', 'wrong_answer')
        self.assertIn('not a number', v['detail'])

    def test_cpp_what_cannot_cross_is_our_error(self):
        v = self.same('cpp', 'struct p { int x; };\nint f(p a) {\n', 'return a.x; }', '#include <assert.h>\nint main() { assert(f({1}) == 1); }', 'harness_error')
        self.assertIn('cannot cross', v['detail'])

    def test_a_test_that_breaks_on_an_answer(self):
        for code, text in (('return {}; }', 'signal'), ('return {1, 2}; }', '')):
            v = self.same('cpp', '#include <vector>\nusing namespace std;\nvector<int> f(int n) {\n', code,
                          '#include <assert.h>\nint main() { vector<int> v = f(3); assert(v[2] == 3); }', 'wrong_answer')
            self.assertIn('got [', v['detail'])
            self.assertIn(text, v['detail'])

    def test_a_test_that_asks_nothing_is_no_pass(self):
        test = '#include <assert.h>\nint main() { assert(1); }'
        for lang, prompt, code, t in (('cpp', 'int f(int n) {\n', 'return n; }', test), ('c', 'int f(int n) {\n', 'return n; }', test),
                                      ('javascript', 'const f = (n) => {\n', 'return n; }', 'console.assert(true)')):
            v = self.same(lang, prompt, code, t, 'harness_error')
            self.assertIn('does not call', v['detail'])

    def test_a_test_that_does_not_compile(self):
        v = self.same('cpp', 'int f(int n) {\n', 'return n; }', 'int main() { assert(; }', 'harness_error')
        self.assertIn('the test does not compile', v['detail'])
        v = self.same('javascript', 'const f = (n) => {\n', 'return n; }', 'f(1); console.assert(;', 'harness_error')

    def test_the_system_assert_by_its_path(self):
        v = self.same('cpp', 'int f(int n) {\n', 'return n; }', '#include "/usr/include/assert.h"\nint main() { assert(f(1) == 2); }', 'wrong_answer')
        self.assertIn('line 2', v['detail'])

    def test_a_test_that_ends_early(self):
        test = '#include <assert.h>\n#include <stdlib.h>\nint main() { if (f(1) != 1) exit(3); assert(f(2) == 2); }'
        self.same('cpp', 'int f(int n) {\n', 'return n; }', test)
        self.same('cpp', 'int f(int n) {\n', 'return 2; }', test, 'wrong_answer')

    def test_c_numbers(self):
        for t, low, high in (('signed char', '-128', '127'), ('unsigned char', '0', '255'), ('short', '-32768', '32767'), ('int', '-2147483647 - 1', '2147483647'),
                             ('unsigned', '0', '4294967295u'), ('long', '-9223372036854775807L - 1', '9223372036854775807L'),
                             ('unsigned long long', '0', '18446744073709551615ull'), ('uint16_t', '0', '65535'), ('size_t', '0', '(size_t)-1'),
                             ('bool', 'false', 'true'), ('float', '-3.5f', '1e38f'), ('double', '-1e308', '4.9e-324')):
            prompt = '#include <stdbool.h>\n#include <stddef.h>\n#include <stdint.h>\n%s pick(int n, const %s a[n], %s b[n], %s *c) {\n' % (t, t, t, t)
            code = '*c = a[1]; b[0] = a[n - 1]; return a[0]; }'
            test = '#include <assert.h>\nint main(void) { %s a[] = {%s, %s}, b[2] = {0, 0}, c = 0; assert(pick(2, a, b, &c) == a[0]);' \
                   'assert(b[0] == a[1] && b[1] == 0 && c == a[1]); return 0; }' % (t, low, high)
            with self.subTest(type=t):
                self.same('c', prompt, code, test)

    def test_c_texts_and_pointers(self):
        prompt = '#include <stdlib.h>\n#include <string.h>\nchar *f(const char *a, char *b, int *c, const char d[4], char e[2 * 3]) {\n'
        code = 'if (b) b[0] = 0; if (c) ++*c; memset(e, d[3], 6); return a ? strdup(a) : NULL; }'
        test = '''#include <assert.h>
            int main(void) {
                char b[] = "xyz", e[6] = "12345"; int c = 1;
                char *r = f("a\\xff", b, &c, "abcd", e);
                assert(!strcmp(r, "a\\xff")); assert(!b[0] && b[1] == 'y'); assert(c == 2); assert(!memcmp(e, "dddddd", 6));
                free(r);
                assert(!f(NULL, NULL, NULL, "abcd", e));
                return 0; }'''
        v = self.same('c', prompt, code, test)
        self.assertEqual(v['total'], 5)
        self.same('c', prompt, 'return NULL; }', test, 'wrong_answer')

    def test_c_signatures_that_cannot_cross(self):
        for prompt in ('struct s *f(int x) {\n', 'int f(void *p) {\n', 'int *f(int n) {\n', 'int f(int (*g)(int)) {\n', 'int f(char **p) {\n', 'int f(long double x) {\n'):
            v = judge('c', prompt, 'return 0; }', 'int main(void) { return 0; }')
            self.assertIn(v['verdict'], ('harness_error', 'compile_error'), v)

    def test_javascript(self):
        values = ['0', '-0', '1', '-1', '2147483647', '-2147483648', '2147483648', '0.1', 'NaN', 'Infinity', '-Infinity', 'Number.MAX_VALUE', '5e-324',
                  'null', 'undefined', 'true', 'false', "''", "'\\0x\\uffff'", "'\\u00e9\\u20ac\\u{1f600}'", "'\\ud800'", "'a\\udc00\\ud800b'", "'\\ud83d' + '\\ude00'",
                  "'\\ud7ff\\ue000'", '0n', '-1n', '127n', '128n', '-128n', '-129n', '255n', '256n', '2n ** 64n', '-(2n ** 64n)', '2n ** 63n - 1n', '-(2n ** 800n) + 5n',
                  '[]', '[1, [2, [3]]]', '[undefined, null]', '{}', '{a: 1, b: {c: [2]}}', "{1: 'x', '-1': 2, '': 3}", "JSON.parse('{\"__proto__\": 1, \"constructor\": 2}')",
                  'Object.assign(Object.create(null), {x: 1})', 'new Map([[1, 2], ["1", new Map()], [NaN, {}]])', 'new Set([1, "1", -1])', 'new Date(1e12)',
                  'new Uint8Array([0, 255])']
        test = '''
const util = require('util');
const values = [%s];
for (const v of values) {
  const w = same(v);
  console.assert(util.isDeepStrictEqual(v !== null && typeof v === 'object' && Object.getPrototypeOf(v) === null ? {...v} : v, w) && Object.is(typeof v, typeof w));
  console.assert(typeof v === 'object' ? v !== w || v === null : Object.is(v, w));
}
console.assert(same() === undefined);
''' % ', '.join(values)
        self.same('javascript', 'const same = (x) => {\n', '  return x;\n}\n', test)
        self.same('javascript', 'const same = (x) => {\n', '  return typeof x === "string" ? x + "." : x;\n}\n', test, 'wrong_answer')

    def test_javascript_what_a_test_may_do(self):
        prompt = 'const f = (x) => {\n'
        body = '  if (x < 0) throw new RangeError("negative");\n  return Math.sqrt(x);\n}\n'
        caught = 'let e; try { f(-1) } catch (x) { e = x }\nconsole.assert(e instanceof RangeError && e.message === "negative"); console.assert(f(4) === 2)'
        self.same('javascript', prompt, body, caught)
        self.same('javascript', prompt, '  return 2;\n}\n', caught, 'wrong_answer')
        self.same('javascript', prompt, body, 'f(-1)', 'exception')
        # an assertion that something catches, or that runs later, counts
        self.same('javascript', prompt, body, 'try { console.assert(f(4) === 3) } catch {}', 'wrong_answer')
        self.same('javascript', prompt, body, 'setTimeout(() => console.assert(f(4) === 3), 5)', 'wrong_answer')
        self.same('javascript', prompt, body, '(async () => { await null; console.assert(f(4) === 3) })()', 'wrong_answer')
        self.same('javascript', prompt, body, '(async () => { await null; console.assert(f(4) === 2) })()')
        self.same('javascript', prompt, body, 'require("assert").strictEqual(f(4), 2)')
        self.same('javascript', prompt, body, 'require("assert").strictEqual(f(4), 3)', 'wrong_answer')
        self.same('javascript', prompt, body, 'f(() => 1)', 'harness_error')

    def test_which_assertion(self):
        test = 'const t = () => {\n  console.assert(f(1) === 1, "("); console.assert(f(2) ===\n    3)\n}\nt()\n'
        v = self.same('javascript', 'const f = (x) => {\n', '  return x;\n}\n', test, 'wrong_answer')
        self.assertEqual((v['run'], v['total'], v['detail']), (2, 2, 'assert 2 of 2: f(2) === 3; got 2'))
        v = self.same('javascript', 'const f = (x) => {\n', '  if (x === 2) process.exit(0);\n  return x;\n}\n', test, 'early_exit')
        self.assertEqual(v['run'], 2)

    def test_code_that_is_too_large(self):
        for lang, prompt in (('javascript', 'const f = (n) => {\n'), ('cpp', 'int f(int n) {\n'), ('c', 'int f(int n) {\n')):
            with self.subTest(lang=lang):
                self.same(lang, prompt, '//' + 'x' * (20 << 20) + '\nreturn n; }', 'f(1)' if lang == 'javascript' else 'int main() { f(1); }',
                          'file_limit')

    def test_equal_input_equal_verdict(self):
        one, two = (judge('javascript', 'const f = (x) => {\n', '  return x > 0.9;\n}\n', 'for (;;) { const x = Math.random(); console.assert(f(x) === false, x) }') for _ in 'ab')
        self.assertEqual(one['detail'], two['detail'])


class Wire(unittest.TestCase):
    """One encoding in three languages."""

    VALUES = [None, True, False, 0, 1, -1, 127, 128, -128, -129, 2**31 - 1, -2**31, 0.5, -0.0, 1e300, float('inf'), '', 'text', 'é€😀', '\ud800x', b'', b'\0\xff',
              [], [1, [2.5, 'x']], {'a': 1, 'b': [None, {}]}]

    def test_javascript_writes_what_python_writes(self):
        script = '''
const codec = require(process.argv[1]);
const fs = require('fs');
const b = fs.readFileSync(0);
for (let i = 0; i < b.length;) {
    const n = b.readUInt32LE(i);
    const v = codec.decode(b.subarray(i + 4, i + 4 + n), 0, () => null);
    fs.writeSync(1, JSON.stringify(v, (k, x) => typeof x === 'bigint' ? String(x) : x) ?? 'null');
    codec.writeFrame(Buffer.alloc(8), 'V', v, () => 0);
    i += 4 + n;
}'''
        frames = [codec['encode'](v, None) for v in self.VALUES]
        a, b = socket.socketpair()
        p = subprocess.run(['/usr/bin/node', '-e', script, os.path.join(TOP, 'configs/sandbox/js/codec.js')], input=b''.join(struct.pack('<I', len(f)) + f for f in frames),
                           capture_output=True, pass_fds=[], preexec_fn=lambda: os.dup2(b.fileno(), 3), close_fds=False)
        self.assertEqual((p.returncode, p.stderr), (0, b''))
        b.close()
        with a, a.makefile('rb') as f:
            got = f.read()
        for v, f in zip(self.VALUES, frames):
            n = struct.unpack('<I', got[:4])[0]
            self.assertEqual(got[13:4 + n], f, v)
            got = got[4 + n:]
        self.assertEqual(got, b'')

    def test_javascript_decodes_hostile_bytes(self):
        script = '''
const codec = require(process.argv[1]);
let h = 12345;
const rnd = (n) => (h = Math.imul(h, 1103515245) + 12345 | 0, (h >>> 16) % n);
const tags = 'NTFUjisbltdSMDofxyzc';
let good = 0, bad = 0;
for (let k = 0; k < 100000; k++) {
    const b = Buffer.alloc(1 + rnd(60));
    for (let i = 0; i < b.length; i++)
        b[i] = rnd(3) ? tags.charCodeAt(rnd(tags.length)) : rnd(4) ? rnd(4) : rnd(256);
    try {
        codec.decode(b, 0, () => null);
        good++;
    } catch (e) {
        if (!(e instanceof codec.Malformed))
            throw e;
        bad++;
    }
}
console.log(good > 100 && bad > 100);'''
        p = subprocess.run(['/usr/bin/node', '-e', script, os.path.join(TOP, 'configs/sandbox/js/codec.js')], capture_output=True)
        self.assertEqual((p.stdout, p.stderr), (b'true\n', b''))

    def hostile(self, lang, prompt, test, right, usual=b'V'):
        """A checker under the sanitizers against answers that are right but for some bytes, or not at all."""
        rnd = random.Random(1)
        with tempfile.TemporaryDirectory() as d:
            built = drive.built(lang)
            extra = ['-fsanitize=address,undefined', '-fno-sanitize-recover=undefined', '-g']
            cpp = os.path.join(TOP, 'configs/sandbox/cpp')
            head, header, _ = lang_split(lang, prompt)
            text = {'cpp': drive.cpp_checker, 'c': drive.c_checker}[lang](head, header, test)
            with open(d + '/t.' + lang, 'w') as f:
                f.write(text)
            subprocess.run(['gcc', '-c', '-w'] + extra + [cpp + '/wire.c', cpp + '/checker.c'], cwd=d, check=True)
            subprocess.run([drive.LANG_PROGRAM[lang][0]] + drive.lang_flags(lang, 'checker', built) + extra + ['-I', built + '/test', '-include', built + (
                '/prelude-checker.hpp' if lang == 'cpp' else '/wire.h'), 't.' + lang, 'wire.o', 'checker.o', '-o', 't', '-lm'], cwd=d, check=True)
            verdicts = set()
            for k in range(self.ROUNDS):
                a, b = socket.socketpair()
                report = os.pipe()
                p = subprocess.Popen([d + '/t'], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, close_fds=False,
                                     env={'APR_NONCE': 'nonce', 'ASAN_OPTIONS': 'detect_leaks=0:allocator_may_return_null=1:handle_segv=0:handle_abort=0:handle_sigfpe=0'},
                                     preexec_fn=lambda: (os.dup2(b.fileno(), 30), os.dup2(report[1], 31), os.dup2(30, 3), os.dup2(31, 5)))
                b.close()
                os.close(report[1])
                try:
                    while True:
                        n = a.recv(4, socket.MSG_WAITALL)
                        if len(n) < 4:
                            break
                        q = a.recv(struct.unpack('<I', n)[0], socket.MSG_WAITALL)
                        value = bytearray(codec['encode'](None, None) if q[8:9] == b'P' else right(q))
                        kind = b'V' if q[8:9] == b'P' else usual if k % 10 == 0 or rnd.random() < .95 else rnd.choice([b'V', b'A', b'B', b'E', b'S', b'X', b'\0'])
                        for _ in range(rnd.randrange(4) if q[8:9] == b'C' and k % 10 else 0):
                            i = rnd.randrange(len(value))
                            value[i] = rnd.choice([value[i] ^ 1 << rnd.randrange(8), rnd.choice(b'NTFjisbltdSf'), 255, rnd.randrange(256)])
                            if rnd.random() < .2:
                                value = value[:rnd.randrange(1, len(value) + 1)]
                        size = 9 + len(value) if k % 10 == 0 or rnd.random() < .98 else rnd.choice([0, 9, 8 + len(value), 1 << 25, 2**32 - 1])
                        a.sendall(struct.pack('<I', size) + q[:8] + kind + value)
                except (ConnectionError, BrokenPipeError):
                    pass
                a.close()
                said = p.stdout.read()
                p.wait()
                p.stdout.close()
                with os.fdopen(report[0], 'rb') as f:
                    r = f.read()
                self.assertNotRegex(said, b'Sanitizer|runtime error')
                self.assertEqual(p.returncode, 0, said)
                r = json.loads(r)
                self.assertEqual(r['nonce'], 'nonce')
                self.assertLessEqual(len(r['detail']), 700)
                verdicts.add(r['verdict'])
            self.assertNotIn('harness_error', verdicts)
            self.assertLessEqual({'pass', 'protocol', 'bad_return', 'wrong_answer'}, verdicts)

    ROUNDS = int(os.environ.get('FUZZ_ROUNDS', 300))

    def test_cpp_reads_hostile_bytes(self):
        prompt = '#include <map>\n#include <optional>\n#include <set>\n#include <string>\n#include <vector>\nusing namespace std;\n' \
                 'map<string, pair<vector<long>, optional<double>>> f(set<int> x) {\n'
        test = '#include <assert.h>\nint main() { for (int i = 0; i < 5; i++) { auto r = f({1, i}); assert(r.size() == 2); assert(r["a"].first[1] == i);' \
               'assert(*r["b"].second == 0.5); assert(!r["a"].second); } }'

        def right(q):
            (_, ((x,))), _ = codec['decode'](q, 9, None)
            i = next((e for e in x if e != 1), 1)
            return codec['encode']({b'a': ([7, i, -2**40], None), b'b': ([], 0.5)}, None)
        self.hostile('cpp', prompt, test, right)

    def test_c_reads_hostile_bytes(self):
        prompt = '#include <stdlib.h>\n#include <string.h>\nchar *f(int n, int a[n], char *s, int *count) {\n'
        test = '#include <assert.h>\nint main(void) { for (int i = 1; i < 5; i++) { int a[4] = {0}, c = 0; char s[8] = "abc"; char *r = f(i, a, s, &c);' \
               'assert(r && !strcmp(r, "right")); assert(a[i - 1] == i); assert(!strcmp(s, "ab")); assert(c == 9); free(r); } return 0; }'

        def right(q):
            (_, (n, a, s, c)), _ = codec['decode'](q, 9, None)
            return codec['encode']((b'right', [0] * (n - 1) + [n], b'ab', 9), None)
        self.hostile('c', prompt, test, right, b'A')


if __name__ == '__main__':
    unittest.main()

# languages - how code in C, C++ and JavaScript is built and started inside the jail, in either role
#
# Run in the job's own process, after it has entered its jail and before anything of the candidate's runs.
# lang_prepare() writes the sources into the job's private directory, compiles if the language does, and says
# what to execute; lang_run() does that and executes it.  The job is JSON with the benchmark's own fields; of
# these the candidate gets code, prompt and entry_point, and only the checker gets nonce, task_id and test.
#
# A prompt ends inside the function that is asked for.  What stands before it (includes, helpers) is its head:
# it precedes a solution that defines the function, and the test.
import errno as _errno
import json as _json
import os
import re
import resource
import select
import signal
import subprocess
import time

LANG_ALIASES = {'javascript': 'javascript', 'js': 'javascript', 'node': 'javascript',
                'cpp': 'cpp', 'c++': 'cpp', 'cxx': 'cpp', 'c': 'c', 'python': 'python', 'py': 'python'}
LANG_PROGRAM = {'javascript': ('/usr/bin/node', '/usr/local/bin/node'), 'cpp': ('/usr/bin/g++',),
                'c': ('/usr/bin/gcc',)}

# What building may use, whatever the job's own limits are: one of the 164 C++ tests takes 0.2 s and 80 MiB.
LANG_BUILD = {'cpu': 10, 'wall': 40, 'memory_mib': 1024, 'file_mib': 16, 'processes': 16}
# node reserves 1 GiB and more of address space before it runs a line, so RLIMIT_AS cannot bound it.  RLIMIT_DATA
# counts what is writable; its code, stacks of 10 threads and young generation come on top of the heap's limit.
LANG_NODE_EXTRA_MIB, LANG_NODE_THREADS = 384, 16

LANG_ENV = {'PATH': '/usr/bin:/bin', 'LC_ALL': 'C.UTF-8', 'TZ': 'UTC', 'HOME': '/tmp'}
LANG_BUILD_ENV = {'PATH': '/usr/bin:/bin', 'LC_ALL': 'C'}  # messages in ASCII

def lang_compiles(lang):
    return lang in ('c', 'cpp')


def lang_rlimits(lang, stage, limits):
    """Resource limits of a job while it builds ('build') and once it is executed ('run').

    limits: cpu (s), memory_mib, processes, file_mib, files.  None stands for no limit.
    """
    r = {resource.RLIMIT_CORE: 0, resource.RLIMIT_NOFILE: limits['files'], resource.RLIMIT_NPROC: limits['processes'],
         resource.RLIMIT_CPU: limits['cpu'], resource.RLIMIT_FSIZE: limits['file_mib'] << 20,
         resource.RLIMIT_AS: limits['memory_mib'] << 20, resource.RLIMIT_DATA: None}
    if lang == 'javascript':
        r[resource.RLIMIT_AS] = None
        r[resource.RLIMIT_DATA] = limits['memory_mib'] + LANG_NODE_EXTRA_MIB << 20
        r[resource.RLIMIT_NPROC] = max(limits['processes'], LANG_NODE_THREADS)
    elif stage == 'build' and lang_compiles(lang):
        for what, key, unit in ((resource.RLIMIT_CPU, 'cpu', 1), (resource.RLIMIT_AS, 'memory_mib', 1 << 20),
                                (resource.RLIMIT_FSIZE, 'file_mib', 1 << 20), (resource.RLIMIT_NPROC, 'processes', 1)):
            r[what] = max(r[what], LANG_BUILD[key] * unit)
    return r


# ---- reading prompts and solutions: enough of C, C++ and JavaScript to cut them ----

_C_BLANK = re.compile(r'//(?:\\\n|[^\n])*|/\*.*?(?:\*/|\Z)|R"([^(\s]{0,16})\(.*?(?:\)\1"|\Z)|"(?:\\.|[^"\\\n])*"?|'
                      r"'(?:\\.|[^'\\\n])*'?", re.S)
_DIRECTIVE = re.compile(r'^[ \t]*#(?:\\\n|[^\n])*', re.M)


def _spaces(m):
    return '\n'.join(' ' * len(line) for line in m.group().split('\n'))


def lang_blank(text):
    """C or C++ with spaces in place of comments, strings and directives; every other byte stays in its place."""
    return _DIRECTIVE.sub(_spaces, _C_BLANK.sub(_spaces, text))


def lang_chunks(text):
    """C or C++ cut into its top-level declarations and directives: a list of (begin, end, open)."""
    bare = _C_BLANK.sub(_spaces, text)
    blank, chunks, depth, begin = _DIRECTIVE.sub(_spaces, bare), [], 0, 0
    marks = [(m.end(), '#') for m in _DIRECTIVE.finditer(bare)] + [(m.end(), m.group()) for m in re.finditer('[{};]', blank)]
    for end, c in sorted(marks):
        depth = max(0, depth + (c == '{') - (c == '}'))
        if depth == 0:
            chunks.append((begin, end, False))
            begin = end
    if blank[begin:].strip():
        chunks.append((begin, len(text), depth > 0))
    return chunks


_C_FUNCTION = re.compile(r'([A-Za-z_]\w*)\s*\(')


def lang_defined(text):
    """Names of the functions that C or C++ text defines at its top level."""
    blank, found = lang_blank(text), set()
    for begin, end, _ in lang_chunks(text):
        brace = blank.find('{', begin, end)
        m = _C_FUNCTION.search(blank, begin, brace if brace >= 0 else begin)
        if m:
            found.add(m.group(1))
        m = re.search(r'([A-Za-z_]\w*)\s*=', blank[begin:max(begin, brace)])  # a lambda with a name
        if m:
            found.add(m.group(1))
    return found


_JS_TOP = re.compile(r'^(?:async\s+)?(?:const|let|var|class|function\s*\*?)\s+([A-Za-z_$][\w$]*)', re.M)
# a function or class: of variables only those that are given one, for a body has variables too
_JS_OWN = re.compile(r'^[ \t]*(?:async\s+)?(?:(?:const|let|var)\s+([A-Za-z_$][\w$]*)\s*=\s*'
                     r'(?:async\b|function\b|\(|[\w$]+\s*=>)|(?:class|function\s*\*?)\s+([A-Za-z_$][\w$]*))', re.M)


def lang_split(lang, prompt, entry=None):
    """(head, header, entry) of a prompt; the header is the open function's, without its brace."""
    if lang == 'javascript':
        tops = [m for m in _JS_TOP.finditer(prompt) if entry in (None, m.group(1))]
        if not tops:
            raise ValueError('the prompt defines no function')
        return prompt[:tops[-1].start()], tops[-1].group(), tops[-1].group(1)
    blank, last = lang_blank(prompt), lang_chunks(prompt)[-1:]
    if not last or not last[0][2]:
        raise ValueError('the prompt ends outside a function')
    begin, brace = last[0][0], blank.index('{', last[0][0])
    header = ' '.join(blank[begin:brace].split())
    m = _C_FUNCTION.search(header)
    if not m or entry not in (None, m.group(1)):
        raise ValueError('the prompt ends outside of %s()' % (entry or 'a function'))
    return prompt[:begin], header, m.group(1)


def lang_program(lang, prompt, code, entry):
    """What is run: the prompt's head and the code if that is whole functions, else prompt and code.

    A body closes the brace that the prompt has opened.
    """
    head = lang_split(lang, prompt, entry)[0]
    if lang == 'javascript':
        own = {m.group(1) or m.group(2) for m in _JS_OWN.finditer(code)}
        own |= {m.group(1) for m in _JS_TOP.finditer(code) if m.group(1) == entry}
        starts = list(_JS_TOP.finditer(head))
        ends = [m.start() for m in starts] + [len(head)]
        parts = [(head[:ends[0]], set())] + [(head[m.start():e], {m.group(1)}) for m, e in zip(starts, ends[1:])]
        braces = code
    else:
        own = lang_defined(code)
        parts = [(head[b:e], lang_defined(head[b:e])) for b, e, _ in lang_chunks(head)]
        braces = lang_blank(code)
    if entry not in own and (not own or braces.count('{') < braces.count('}')):
        return prompt + code
    return ''.join(text for text, names in parts if not names & own) + '\n' + code


def _outside(text, sep):
    """text cut at each sep that stands in no brackets."""
    parts, depth, begin = [], 0, 0
    for i, c in enumerate(text):
        depth += (c in '([{<') - (c in ')]}>')
        if c == sep and depth == 0:
            parts.append(text[begin:i])
            begin = i + 1
    parts.append(text[begin:])
    return [p.strip() for p in parts if p.strip()]


def lang_signature(header):
    """(result, name, [parameter]) of a C or C++ header."""
    m = _C_FUNCTION.search(header)
    end = header.rindex(')')
    params = _outside(header[m.end():end], ',')
    return header[:m.start()].strip(), m.group(1), [] if params == ['void'] else params


def _knows_nan(test):
    return re.search(r'\b(isnan|isfinite|nan[fl]?|NAN|quiet_NaN)\b', lang_blank(test)) is not None


# ---- C++ ----


def _param_name(p):
    m = re.search(r'([A-Za-z_]\w*)\s*(?:=.*)?$', p, re.S)
    if not m:
        raise ValueError('a parameter without a name: %s' % p)
    return m.group(1)


def cpp_candidate(header):
    """The unit of a candidate: the solution, and a main that answers calls of it.

    It is one unit so that the call is compiled as a test's would be: references to const, templates, overloads
    and results of another type are as good here as there.
    """
    result, name, params = lang_signature(header)
    return f"""#include "solution.cpp"
#line 1 "call"
int main() {{ return ::apr::function<{result}({', '.join(params)})>::serve("{name}", [](auto &&...a) -> decltype(auto)
{{ return ::{name}(static_cast<decltype(a)>(a)...); }}); }}
"""


def _checker(head, function, test, c):
    return f"""enum {{ apr_first = __COUNTER__ + 1 }};
#line 1 "prompt"
{head}
#line 1 "call"
{function}
#line 1 "test"
{test}
#line 1 "end"
{c} const int apr_total = __COUNTER__ - apr_first, apr_nan = {int(_knows_nan(test))};
"""


def cpp_checker(head, header, test):
    result, name, params = lang_signature(header)
    args = ', '.join(['"%s"' % name] + [_param_name(p) for p in params])
    proxy = f"{header} {{ return ::apr::function<{result}({', '.join(params)})>::ask({args}); }}"
    return _checker(head, proxy, test, 'extern "C"')


# ---- C: which parameters go in, and which come back, is in their declarations (configs/sandbox/wire.md) ----

_C_SIGNED = {'char', 'signed char', 'short', 'int', 'long', 'long long', 'int8_t', 'int16_t', 'int32_t', 'int64_t'}
_C_UNSIGNED = {'unsigned char', 'unsigned short', 'unsigned', 'unsigned int', 'unsigned long', 'unsigned long long',
               'uint8_t', 'uint16_t', 'uint32_t', 'uint64_t', 'size_t'}
_C_PARAM = re.compile(r'(const\s+)?((?:[A-Za-z_]\w*\s+)*?[A-Za-z_]\w*)\s*(\*?)\s*\b([A-Za-z_]\w*)\s*(?:\[(.*)\])?$', re.S)


def _c_get(t):
    """An expression that reads a t from apr_in."""
    if t in ('bool', '_Bool'):
        return 'apr_get_bool(apr_in)'
    if t in ('float', 'double'):
        return f'({t})apr_get_real(apr_in)'
    if t in _C_UNSIGNED:
        return f'({t})apr_get_uint(apr_in, ({t})-1)'
    if t in _C_SIGNED:
        half = f'(1LL << (8 * sizeof({t}) - 2))'  # the largest is 2 half - 1, written so that nothing overflows
        return f'({t})apr_get_int(apr_in, -2 * {half}, {half} - 1 + {half})'
    raise ValueError('%s cannot cross' % t)


def _c_put(t, x):
    """A statement that writes x, a t, to apr_out."""
    kind = 'bool' if t in ('bool', '_Bool') else 'real' if t in ('float', 'double') else 'uint' if t in _C_UNSIGNED else \
        'int' if t in _C_SIGNED else None
    if not kind:
        raise ValueError('%s cannot cross' % t)
    return f'apr_put_{kind}(apr_out, {x});'


def _c_each(count, struct, statement):
    return f'for (unsigned long apr_i = 0; apr_i < {count} && !{struct}->bad; apr_i++) {statement}'


class _CParam:
    """One parameter: kind 'value', 'string', 'pointer' or 'array'; type, name, extent, whether it comes back."""

    def __init__(self, text):
        m = _C_PARAM.match(text)
        if not m or m.group(3) and m.group(5) is not None:
            raise ValueError('%s: a parameter that cannot cross' % text)
        const, t, star, self.name, extent = m.groups()
        self.type = ' '.join(t.split())
        self.kind = 'array' if extent is not None else 'value' if not star else \
            'string' if self.type == 'char' else 'pointer'
        self.extent = f'(unsigned long)({extent})'
        self.back = self.kind != 'value' and not const
        self.bytes = self.kind == 'array' and self.type == 'char'

    def put(self):
        t, n = self.type, self.name
        if self.kind == 'value':
            return _c_put(t, n)
        if self.kind == 'string':
            return f'apr_put_string(apr_out, {n});'
        if self.kind == 'pointer':
            return f"if ({n}) {{ {_c_put(t, '*' + n)} }} else apr_put_null(apr_out);"
        if self.bytes:
            return f"apr_put_blob(apr_out, 'b', {n}, {self.extent});"
        return f"apr_put_count(apr_out, 'l', {self.extent}); " + _c_each(self.extent, 'apr_out', _c_put(t, n + '[apr_i]'))

    def take(self):
        """Declare and read it, in the candidate."""
        t, n = self.type, self.name
        if self.kind == 'value':
            return f'{t} {n} = {_c_get(t)};'
        if self.kind == 'string':
            return f'char *{n} = apr_get_string(apr_in);'
        if self.kind == 'pointer':
            return f"{t} apr_v_{n}, *{n} = apr_peek(apr_in) == 'N' ? 0 : &apr_v_{n}; {self.read()}"
        return f'{t} *{n} = apr_array({self.extent}, sizeof({t})); {self.read()}'

    def read(self):
        """Read into what is there: in the candidate an argument, in the test what comes back."""
        n = self.name
        if self.kind == 'string':
            return f'apr_copy_string(apr_in, {n});'
        if self.kind == 'pointer':
            return f'if ({n}) *{n} = {_c_get(self.type)}; else apr_get_null(apr_in);'
        if self.bytes:
            return f'apr_copy_bytes(apr_in, {n}, {self.extent});'
        return f"apr_get_exactly(apr_in, 'l', {self.extent}); " + \
            _c_each(self.extent, 'apr_in', f'{n}[apr_i] = {_c_get(self.type)};')


class _CResult:
    """The result: void, a number, text, or as many numbers as the last pointer to an int or size_t says."""

    def __init__(self, text, params):
        words = [w for w in text.replace('*', ' * ').split() if w not in ('const', 'static', 'inline', 'extern')]
        self.text, self.type = text, ' '.join(w for w in words if w != '*')
        stars = words.count('*')
        self.kind = 'string' if stars == 1 and self.type == 'char' else 'list' if stars else \
            'void' if self.type == 'void' else 'value'
        if self.kind == 'list':
            lengths = [p.name for p in params if p.kind == 'pointer' and p.back and p.type in ('int', 'size_t')]
            if not lengths or stars > 1:
                raise ValueError('%s: no parameter says how many' % text)
            self.count = '(%s && *%s > 0 ? (unsigned long)*%s : 0)' % ((lengths[-1],) * 3)

    def put(self):
        if self.kind == 'void':
            return 'apr_put_null(apr_out);'
        if self.kind == 'value':
            return _c_put(self.type, 'apr_r')
        if self.kind == 'string':
            return 'apr_put_string(apr_out, apr_r);'
        return f"if (!apr_r) apr_put_null(apr_out); else {{ apr_put_count(apr_out, 'l', {self.count}); " + \
            _c_each(self.count, 'apr_out', _c_put(self.type, 'apr_r[apr_i]')) + ' }'

    def take(self):
        t = self.type
        if self.kind == 'void':
            return 'apr_get_null(apr_in);'
        if self.kind == 'value':
            return f'{t} apr_r = {_c_get(t)};'
        if self.kind == 'string':
            return 'char *apr_r = apr_get_string(apr_in);'
        return f"{t} *apr_r = 0; if (apr_peek(apr_in) == 'N') apr_get_null(apr_in); else {{ " \
               f"unsigned long apr_n = apr_get_count(apr_in, 'l'); apr_r = apr_array(apr_n, sizeof({t})); " + \
               _c_each('apr_n', 'apr_in', f'apr_r[apr_i] = {_c_get(t)};') + ' }'


def _c_parts(header):
    result, name, texts = lang_signature(header)
    params = [_CParam(p) for p in texts]
    return name, params, [p for p in params if p.back], _CResult(result, params)


def c_candidate(header):
    name, params, back, r = _c_parts(header)
    lines = ['#include "solution.c"', '#line 1 "call"',
             'static void apr_call(struct apr_in *apr_in, struct apr_out *apr_out)', '{']
    for p in params:
        lines += [p.take(), 'if (apr_in->bad) return;']
    call = f"{name}({', '.join(p.name for p in params)});"
    lines.append(call if r.kind == 'void' else f'{r.text} apr_r = {call}')
    if back:
        lines.append(f"apr_start(apr_out, 'A'); apr_put_count(apr_out, 't', {1 + len(back)});")
    lines += [r.put(), *(p.put() for p in back), '}',
              f'int main(void) {{ return apr_serve("{name}", {len(params)}, apr_call); }}', '']
    return '\n'.join(lines)


def c_checker(head, header, test):
    name, params, back, r = _c_parts(header)
    lines = [header, '{', f'struct apr_out *apr_out = apr_question("{name}", {len(params)});', *(p.put() for p in params),
             f'struct apr_in *apr_in = apr_answer({len(back)});', r.take(), *(p.read() for p in back),
             'apr_accept(apr_in);', *([] if r.kind == 'void' else ['return apr_r;']), '}']
    return _checker(head, '\n'.join(lines), test, '')


# ---- building ----

# What is built with is in files of gcc's @FILE form (configs/sandbox/cpp/flags-*), so that the compiled headers, which
# lib/languages.c makes, are made with the same.
def lang_flags(lang, role, built):
    flags = ['@%s/flags-%s' % (built, lang)]
    return flags + ['@%s/flags-cpp-checker' % built] if (lang, role) == ('cpp', 'checker') else flags


def _gold():
    return ['-fuse-ld=gold'] if os.access('/usr/bin/ld.gold', os.X_OK) else []


def _set_limits(rlimits):
    for what, value in rlimits.items():
        if value is not None:
            hard = resource.getrlimit(what)[1]
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(what, (value, value))


def _compile(argv, cwd, rlimits):
    """(ended well, the first 64 KiB of what the compiler says)."""
    def enter():
        os.setpgid(0, 0)
        _set_limits(rlimits)

    p = subprocess.Popen(argv, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                         env=dict(LANG_BUILD_ENV, TMPDIR=cwd), preexec_fn=enter)
    text, end = b'', time.monotonic() + LANG_BUILD['wall']
    while True:
        if not select.select([p.stderr], [], [], max(0, end - time.monotonic()))[0]:
            os.killpg(p.pid, signal.SIGKILL)
            text += b'\nerror: the compiler needs more than %d s' % LANG_BUILD['wall']
            break
        b = os.read(p.stderr.fileno(), 65536)
        if not b:
            break
        text = (text + b)[:65536]
    return p.wait() == 0, text


def lang_complaint(text, entry=None):
    """(verdict, detail) of what a compiler said: its first errors, on one line of printable ASCII."""
    lines = [re.sub(r'\bcc\w{6}\.o\b', 'job.o', re.sub(r'/[\w./+-]*/', '', re.sub(r'[^ -~]', '?', s[:400])))[:300]
             for s in text.decode('utf-8', 'replace').splitlines()]
    errors = [s for s in lines if re.search(r'\b[Ee]rror:|undefined reference|multiple definition|out of memory', s)]
    if entry and errors:
        name = re.escape(entry)
        if re.match(r"call:.* '::%s' has not been declared" % name, errors[0]) or \
                re.search(r"undefined reference to [`']%s'" % name, errors[0]):
            return 'no_entry_point', 'nothing defines %s' % entry
    return 'compile_error', '; '.join((errors or [s for s in lines if s.strip()] or ['no message'])[:3])[:600]


def _write(path, text):
    with open(path, 'wb') as f:
        f.write(text.encode('utf-8', 'surrogatepass') if isinstance(text, str) else text)


def _build(lang, role, text, entry, workdir, built, rlimits):
    """Compile text, the job's translation unit, to workdir/program."""
    unit = '%s/job.%s' % (workdir, lang)
    _write(unit, text)
    argv = [LANG_PROGRAM[lang][0]] + lang_flags(lang, role, built)
    argv += ['-include', '%s/prelude-%s.hpp' % (built, role) if lang == 'cpp' else built + '/wire.h']
    if role == 'checker':
        argv += ['-I', built + '/test']
    objects = ['wire', role] + (['caught'] if lang == 'cpp' and role == 'candidate' else [])
    argv += [unit, '-o', workdir + '/program'] + ['%s/%s.o' % (built, o) for o in objects] + _gold() + ['-lm']
    ok, said = _compile(argv, workdir, rlimits)
    if ok:
        os.unlink(unit)
        return None
    return lang_complaint(said, entry)


def lang_prepare(lang, role, payload, limits, workdir='/tmp', built='/sandbox'):
    """('exec', argv, env), or (verdict, detail) if nothing can be executed.

    verdict: compile_error, no_entry_point, file_limit or memory in the candidate's role, harness_error in the checker's.
    limits: as in lang_rlimits(); built: what lib/languages.c made, as the jail shows it.
    """
    job = _json.loads(payload)
    lang = LANG_ALIASES[lang]
    if role == 'candidate' and len(job['code']) > limits['file_mib'] << 20:
        return 'file_limit', 'the program is too large'
    try:
        head, header, entry = lang_split(lang, job['prompt'], job.get('entry_point'))
        if lang == 'javascript':
            return _prepare_js(role, job, head, entry, workdir, built, limits)
        make = {('c', 'candidate'): c_candidate, ('cpp', 'candidate'): cpp_candidate,
                ('c', 'checker'): c_checker, ('cpp', 'checker'): cpp_checker}[lang, role]
        if role == 'candidate':
            _write('%s/solution.%s' % (workdir, lang), lang_program(lang, job['prompt'], job['code'], entry))
            text = make(header)
        else:
            text = make(head, header, job['test'])
        failed = _build(lang, role, text, entry if role == 'candidate' else None, workdir, built,
                        lang_rlimits(lang, 'build', limits))
    except (ValueError, KeyError) as e:
        return 'harness_error', '%s: %s' % (job.get('task_id', ''), e)
    except MemoryError:
        return 'memory' if role == 'candidate' else 'harness_error', 'out of memory before it runs'
    except OSError as e:
        if role == 'candidate' and e.errno in (_errno.EFBIG, _errno.ENOSPC):
            return 'file_limit', 'the program is too large'
        return 'harness_error', 'the compiler cannot be started: %s' % e
    if failed:
        return failed if role == 'candidate' else ('harness_error', 'the test does not compile: ' + failed[1])
    return 'exec', [workdir + '/program'], LANG_ENV if role == 'candidate' else dict(LANG_ENV, APR_NONCE=job['nonce'])


def _prepare_js(role, job, head, entry, workdir, built, limits):
    node = next((p for p in LANG_PROGRAM['javascript'] if os.access(p, os.X_OK)), None)
    if not node:
        return 'harness_error', 'no node'
    argv = [node, '--max-old-space-size=%d' % limits['memory_mib'], '%s/%s.js' % (built, role)]
    if role == 'candidate':
        _write(workdir + '/solution.js', lang_program('javascript', job['prompt'], job['code'], entry))
        argv += [workdir + '/solution.js', entry]
    else:
        parts = {'nonce': job['nonce'], 'task_id': job['task_id'], 'entry_point': entry, 'head': head, 'test': job['test']}
        _write(workdir + '/job.json', _json.dumps(parts))
        argv.append(workdir + '/job.json')
    return 'exec', argv, LANG_ENV


def lang_run(lang, role, payload, limits, tell, workdir='/tmp', built='/sandbox'):
    """Prepare and execute; tell(verdict, detail) is called if there is nothing to execute.  Does not return."""
    what = lang_prepare(lang, role, payload, limits, workdir, built)
    try:
        if what[0] == 'exec':
            _set_limits(lang_rlimits(LANG_ALIASES[lang], 'run', limits))
            os.execve(what[1][0], what[1], what[2])
    except OSError as e:
        what = 'harness_error', '%s: %s' % (what[1][0], e)
    tell(*what)
    os._exit(0)

/* sandbox_payload - what each side of a job is given, and the hash of it */
#include "expected.h"
#include "extract.h"
#include "hash.h"
#include "pycall.h"
#include "sandbox_private.h"
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where the entry point's definition begins in the prompt; NULL if it is not there. */
static const char *definition(const char *prompt, const char *entry)
{
    size_t m = strlen(entry);
    for (const char *p = prompt; p && *p; p = strchr(p, '\n'), p += p != NULL) {
        const char *q = p + (strncmp(p, "async ", 6) ? 0 : 6);
        if (!strncmp(q, "def ", 4) && !strncmp(q + 4, entry, m) &&
            (q[4 + m] == '(' || q[4 + m] == ' '))
            return p;
    }
    return NULL;
}

static char *joined(const char *a, const char *b, const char *c)
{
    size_t na = strlen(a), nb = strlen(b), nc = strlen(c);
    char *out = malloc(na + nb + nc + 1);
    if (out) {
        memcpy(out, a, na);
        memcpy(out + na, b, nb);
        memcpy(out + na + nb, c, nc + 1);
    }
    return out;
}

/* CRUXEval's answer, alone or within "assert f(...) == ...", as answer(). For an input f() gives its arguments
 * back, and the answer must be one call of it. */
static char *answer_program(const struct bench_task *t, const char *code)
{
    static const char echo[] = "\n\n"
                               "def f(*args, **kwargs):\n    return args, kwargs\n\n\n";
    const char *s = code + strspn(code, " \t\r\n"), *end;
    char *call, *out;
    int input = t->judge == BENCH_INPUT;
    if (!strncmp(s, "assert", 6) && strchr(" \t(", s[6]))
        s += 6 + strspn(s + 6, " \t");
    end = s[0] == 'f' && s[1] == '(' ? pycall_end(s + 1) : NULL;
    if (input) {
        const char *rest = end ? end + strspn(end, " \t") : NULL;
        if (!end || (*rest && *rest != '\n' && *rest != '#' && strncmp(rest, "==", 2)))
            return strdup("# no call of f\n");
        if (!(call = strndup(s, (size_t)(end - s))))
            return NULL;
        out = joined("def answer():\n    return (", call, "\n)\n");
        free(call);
        call = out ? joined(t->setup, echo, out) : NULL;
        free(out);
        return call;
    }
    if (end && !strncmp(end + strspn(end, " \t"), "==", 2))
        s = end + strspn(end, " \t") + 2;
    return joined("def answer():\n    return (", s, "\n)\n");
}

/* LiveCodeBench: upstream's imports before the code; a method of Solution as a function. */
static char *io_program(const struct bench_task *t, const char *code)
{
    static const char imports[] =
        "from string import *\nfrom re import *\nfrom datetime import *\nfrom collections import "
        "*\nfrom heapq import *\n"
        "from bisect import *\nfrom copy import *\nfrom math import *\nfrom random import *\nfrom "
        "statistics import *\n"
        "from itertools import *\nfrom functools import *\nfrom operator import *\nfrom io import "
        "*\nfrom sys import *\n"
        "from json import *\nfrom builtins import *\nfrom typing import *\nimport string\nimport "
        "re\nimport datetime\n"
        "import collections\nimport heapq\nimport bisect\nimport copy\nimport math\nimport "
        "random\nimport statistics\n"
        "import itertools\nimport functools\nimport operator\nimport io\nimport sys\nimport json\n"
        "sys.setrecursionlimit(50000)\n";
    char shim[512] = "";
    if (t->called)
        snprintf(shim, sizeof shim,
                 "\nif hasattr(globals().get('Solution'), '%.100s'):\n    %.100s = lambda *a: "
                 "Solution().%.100s(*a)\n",
                 t->called, t->called, t->called);
    return joined(imports, code, shim);
}

/* Code that completes a prompt: with what stands before the entry point there (imports, helpers), or after all of
 * it if it is only a body. */
static char *completed(const struct bench_task *t, const char *code)
{
    const char *def = t->entry_point ? definition(t->prompt, t->entry_point) : NULL, *s = code;
    size_t before = 0, n = strlen(code);
    char *out;
    while (*s == '\n' || *s == '\r')
        s++;
    if (t->entry_point && !extract_defines(code, t->entry_point) && (*s == ' ' || *s == '\t'))
        before = strlen(t->prompt); /* a body */
    else if (def && !strstr(code, "from __future__"))
        before = (size_t)(def - t->prompt);
    if (!(out = malloc(before + n + 2)))
        return NULL;
    if (before)
        memcpy(out, t->prompt, before);
    memcpy(out + before, code, n + 1);
    return out;
}

char *sandbox_program(const struct bench_task *t, const char *code)
{
    switch (t->judge) {
    case BENCH_OUTPUT:
    case BENCH_INPUT:
        return answer_program(t, code);
    case BENCH_IO:
        return io_program(t, code);
    case BENCH_PROGRAM:
        return strdup(code); /* configs/sandbox/languages.py puts it together */
    default:
        return completed(t, code);
    }
}

/* A line of JSON about a task: what the checker gets, or, with the program, the one process that does both. */
static char *test_json(const struct sandbox_job *job, const char *nonce, const char *program,
                       size_t *n)
{
    const struct bench_task *t = job->task;
    struct json_out j = {0};
    char *reference;
    json_begin(&j, '{');
    json_kv_str(&j, "task_id", t->task_id);
    json_kv_str(&j, "nonce", nonce);
    json_kv_str(&j, "work",
                job->work == SANDBOX_REFERENCE ? "expected"
                : t->judge == BENCH_EXPECTED   ? "reference"
                : t->judge == BENCH_UNITTEST   ? "unittest"
                                               : "test");
    if (bench_entry(t))
        json_kv_str(&j, "entry_point", bench_entry(t));
    if (job->work == SANDBOX_BEHAVIOUR) {
        json_key(&j, "inputs");
        json_raw(&j, job->inputs);
        json_end(&j, '}');
        return json_take(&j, n);
    }
    switch (t->judge) {
    case BENCH_CHECK:
    case BENCH_OUTPUT:
    case BENCH_INPUT:
        json_kv_str(&j, "check", t->entry_point ? t->entry_point : "answer");
        json_kv_str(&j, "prompt", t->entry_point ? t->prompt : "");
        json_kv_str(&j, "test", t->test);
        break;
    case BENCH_EXPECTED:
        json_kv_str(&j, "oracle", t->oracle);
        json_kv_str(&j, "form", t->form);
        json_kv_num(&j, "atol", t->atol);
        if (program) {
            json_key(&j, "task");
            json_strn(&j, t->record, t->n_record);
            if ((reference = sandbox_program(t, t->canonical)))
                json_kv_str(&j, "reference", reference);
            free(reference);
        }
        break;
    case BENCH_IO:
        json_key(&j, "io");
        json_begin(&j, '[');
        for (int i = 0; i < t->n_io; i++) {
            json_begin(&j, '{');
            json_kv_str(&j, "in", t->io[i].in);
            json_kv_str(&j, "out", t->io[i].out);
            json_end(&j, '}');
        }
        json_end(&j, ']');
        break;
    case BENCH_UNITTEST:
        json_kv_str(&j, "setup", t->setup);
        json_kv_str(&j, "test", t->test);
        break;
    case BENCH_PROGRAM:
        json_kv_str(&j, "prompt", t->prompt);
        json_kv_str(&j, "test", t->test);
        break;
    case BENCH_ASSERTS:
        json_kv_str(&j, "setup", t->setup ? t->setup : "");
        json_key(&j, "tests");
        json_begin(&j, '[');
        if (t->test)
            json_str(&j, t->test);
        for (int i = 0; !t->test && i < t->n_tests; i++)
            json_str(&j, t->tests[i]);
        json_end(&j, ']');
        break;
    }
    if (program)
        json_kv_str(&j, "program", program);
    json_end(&j, '}');
    return json_take(&j, n);
}

static char *append(char *to, const char *p, size_t n) /* with its length before it */
{
    uint32_t n32 = (uint32_t)n;
    memcpy(to, &n32, sizeof n32);
    memcpy(to + sizeof n32, p, n);
    return to + sizeof n32 + n;
}

/* Candidate: NUL, entry point, program, arguments. Checker: the line, then the file of what is expected. */
static int expected_payload(struct sandbox_payload *p, const struct sandbox_job *job,
                            const char *program, const char *line, size_t n_line, struct err *e)
{
    const char *entry = bench_entry(job->task), *end;
    size_t n, n_arguments, n_program = strlen(program);
    char *file = expected_read(job->expected, &n, e), *to = NULL;
    cJSON *head = NULL;
    if (!file)
        return e->code;
    end = memchr(file, '\n', n);
    head = end ? json_parse(file, (size_t)(end - file), job->expected, e) : NULL;
    n_arguments = head ? (size_t)json_get_int(head, "arguments", 0, e) : 0;
    cJSON_Delete(head);
    if (!end || e->code || n_arguments > n - (size_t)(end + 1 - file))
        err_set(e, ERR_DATA, "%s: damaged", job->expected);
    else if (!(p->code = to = malloc(1 + 8 + strlen(entry) + n_program + n_arguments)) ||
             !(p->test = malloc(n_line + 1 + n)))
        err_set(e, ERR_NOMEM, "sandbox: out of memory");
    if (e->code == 0) {
        *to++ = 0;
        to = append(to, entry, strlen(entry));
        to = append(to, program, n_program);
        memcpy(to, end + 1, n_arguments);
        p->n_code = (size_t)(to - p->code) + n_arguments;
        memcpy(p->test, line, n_line);
        p->test[n_line] = '\n';
        memcpy(p->test + n_line + 1, file, n);
        p->n_test = n_line + 1 + n;
    }
    free(file);
    return e->code;
}

/* A program's two sides: a line of what languages.py needs, then the job, of which the candidate gets neither test
 * nor nonce. */
static char *program_json(const struct sandbox_job *job, const char *nonce, int checker, size_t *n)
{
    const struct bench_task *t = job->task;
    const struct sandbox_limits *l = job->limits;
    struct json_out j = {0};
    char head[512];
    snprintf(head, sizeof head,
             "{\"lang\":\"%s\",\"role\":\"%s\",\"nonce\":\"%s\",\"limits\":{\"cpu\":%d,\"memory_"
             "mib\":%ld,\"processes\":%ld,"
             "\"file_mib\":%ld,\"files\":64}}\n",
             bench_lang_name(job->lang), checker ? "checker" : "candidate", checker ? nonce : "",
             (int)ceil(l->cpu_s) + 2 * checker, l->memory_mib + 512 * checker, l->processes,
             l->file_mib);
    json_begin(&j, '{');
    if (checker) {
        json_kv_str(&j, "task_id", t->task_id);
        json_kv_str(&j, "nonce", nonce);
        json_kv_str(&j, "test", t->test);
    } else {
        json_kv_str(&j, "code", job->code);
    }
    json_kv_str(&j, "prompt", t->prompt);
    json_end(&j, '}');
    char *body = json_take(&j, n), *all = body ? joined(head, body, "") : NULL;
    free(body);
    *n = all ? strlen(all) : 0;
    return all;
}

int sandbox_n_inputs(const struct sandbox_job *job)
{
    struct err e = {0};
    cJSON *list = job->work == SANDBOX_BEHAVIOUR
                      ? json_parse(job->inputs, strlen(job->inputs), "inputs", &e)
                      : NULL;
    int n = cJSON_GetArraySize(list);
    cJSON_Delete(list);
    return n;
}

int sandbox_payload(struct sandbox_payload *p, const struct sandbox_job *job, const char *nonce,
                    struct err *e)
{
    int alone = job->inproc || job->work == SANDBOX_REFERENCE;
    char *program = sandbox_program(job->task, job->code), *line;
    size_t n_line = 0;
    memset(p, 0, sizeof *p);
    p->n_inputs = sandbox_n_inputs(job);
    if (job->task->judge == BENCH_PROGRAM) {
        free(program);
        p->code = program_json(job, nonce, 0, &p->n_code);
        p->test = program_json(job, nonce, 1, &p->n_test);
        if (p->code && p->test)
            return 0;
        sandbox_payload_free(p);
        return err_set(e, ERR_NOMEM, "sandbox: out of memory");
    }
    line = program ? test_json(job, nonce, alone ? program : NULL, &n_line) : NULL;
    if (line && alone) {
        p->code = line;
        p->n_code = n_line;
        line = NULL;
    } else if (line && job->task->judge == BENCH_EXPECTED && job->work == SANDBOX_JUDGE) {
        expected_payload(p, job, program, line, n_line, e);
    } else if (line) {
        if (job->task->judge == BENCH_IO &&
            !job->task->called) { /* it reads: 1, ms and CPU seconds of a run, the program */
            const struct sandbox_limits *l = job->limits ? job->limits : &sandbox_defaults;
            uint32_t head[2] = {(uint32_t)(1e3 * sandbox_wall(l)), (uint32_t)ceil(l->cpu_s)};
            p->n_code = 1 + sizeof head + strlen(program);
            if ((p->code = malloc(p->n_code))) {
                p->code[0] = 1;
                memcpy(p->code + 1, head, sizeof head);
                memcpy(p->code + 1 + sizeof head, program, strlen(program));
            }
        } else {
            p->code = program;
            p->n_code = strlen(program);
            program = NULL;
        }
        if ((p->test = realloc(line, n_line + 1))) {
            line = NULL;
            p->test[n_line] = '\n';
            p->n_test = n_line + 1;
        }
    }
    free(line);
    free(program);
    if (e->code == 0 && !(p->code && (alone || p->test)))
        err_set(e, ERR_NOMEM, "sandbox: out of memory");
    if (e->code)
        sandbox_payload_free(p);
    return e->code;
}

void sandbox_payload_free(struct sandbox_payload *p)
{
    free(p->code);
    free(p->test);
    memset(p, 0, sizeof *p);
}

int sandbox_job_hash(const struct sandbox_job *j, const struct sandbox_limits *l, char hex[65])
{
    size_t n = 0;
    char *program = sandbox_program(j->task, j->code), *test = test_json(j, "", NULL, &n),
         limits[256];
    struct hash_sha256 h;
    int ok = program && test && hash_sha256_init(&h) == 0;
    l = j->limits ? j->limits : l;
    snprintf(limits, sizeof limits, "%d %.17g %.17g %ld %ld %ld %ld %d", SANDBOX_VERSION, l->cpu_s,
             l->wall_s, l->memory_mib, l->processes, l->file_mib, l->output_kib, j->inproc);
    if (ok) {
        hash_sha256_add(&h, program, strlen(program) + 1);
        hash_sha256_add(&h, test, n + 1);
        if (j->task->judge == BENCH_EXPECTED)
            hash_sha256_add(&h, j->task->record, j->task->n_record);
        hash_sha256_add(&h, limits, strlen(limits));
        hash_sha256_hex(&h, hex);
    }
    free(program);
    free(test);
    return ok ? 0 : ERR_NOMEM;
}

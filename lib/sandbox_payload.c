/* sandbox_payload - what each side of a job is given, and the hash of it */
#include "extract.h"
#include "hash.h"
#include "sandbox_private.h"
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

char *sandbox_program(const struct bench_task *t, const char *code)
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

/* What the checker gets, as JSON (malloc). program: only where the two share a process. */
static char *test_json(const struct bench_task *t, const char *nonce, const char *program,
                       size_t *n)
{
    struct json_out j = {0};
    json_begin(&j, '{');
    json_kv_str(&j, "task_id", t->task_id);
    json_kv_str(&j, "nonce", nonce);
    if (t->entry_point) {
        json_kv_str(&j, "entry_point", t->entry_point);
        json_kv_str(&j, "prompt", t->prompt);
        json_kv_str(&j, "test", t->test);
    } else {
        json_kv_str(&j, "setup", t->setup ? t->setup : "");
        json_key(&j, "tests");
        json_begin(&j, '[');
        for (int i = 0; i < t->n_tests; i++)
            json_str(&j, t->tests[i]);
        json_end(&j, ']');
    }
    if (program)
        json_kv_str(&j, "program", program);
    json_end(&j, '}');
    return json_take(&j, n);
}

int sandbox_payload(struct sandbox_payload *p, const struct sandbox_job *job, const char *nonce,
                    struct err *e)
{
    memset(p, 0, sizeof *p);
    char *program = sandbox_program(job->task, job->code);
    if (program && job->inproc) {
        p->code = test_json(job->task, nonce, program, &p->n_code);
        free(program);
    } else if (program) {
        p->code = program;
        p->n_code = strlen(program);
        p->test = test_json(job->task, nonce, NULL, &p->n_test);
    }
    if (p->code && (job->inproc || p->test))
        return 0;
    sandbox_payload_free(p);
    return err_set(e, ERR_NOMEM, "sandbox: out of memory");
}

void sandbox_payload_free(struct sandbox_payload *p)
{
    free(p->code);
    free(p->test);
    memset(p, 0, sizeof *p);
}

int sandbox_job_hash(const struct sandbox_job *j, const struct sandbox_limits *l, char hex[65])
{
    l = j->limits ? j->limits : l;
    size_t n = 0;
    char *program = sandbox_program(j->task, j->code), *test = test_json(j->task, "", NULL, &n),
         limits[160];
    struct hash_sha256 h;
    int ok = program && test && hash_sha256_init(&h) == 0;
    snprintf(limits, sizeof limits, "%g %g %ld %ld %ld %ld", l->cpu_s, l->wall_s, l->memory_mib,
             l->processes, l->file_mib, l->output_kib);
    if (ok) {
        hash_sha256_add(&h, program, strlen(program) + 1);
        hash_sha256_add(&h, test, n + 1);
        hash_sha256_add(&h, limits, strlen(limits));
        hash_sha256_hex(&h, hex);
    }
    free(program);
    free(test);
    return ok ? 0 : ERR_NOMEM;
}

/* languages - build the folder that jails show as /sandbox */
#include "languages.h"
#include "cache.h"
#include "hash.h"
#include "paths.h"
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORDS = 16, FILES = 16 };
static const char *const js_files[] = {"js/codec.js", "js/candidate.js", "js/checker.js", NULL};
static const char *const c_files[] = {"cpp/wire.h", "cpp/flags-c", "cpp/test/assert.h", NULL};
static const char *const cpp_files[] = {
    "cpp/wire.h",        "cpp/rpc.hpp",   "cpp/prelude-candidate.hpp", "cpp/prelude-checker.hpp",
    "cpp/test/assert.h", "cpp/flags-cpp", "cpp/flags-cpp-checker",     NULL};
static const char *const c_objects[] = {"cpp/wire.c", "cpp/candidate.c", "cpp/checker.c", NULL};

static const char *const *files_of(enum bench_lang lang)
{
    return lang == BENCH_JAVASCRIPT ? js_files : lang == BENCH_CPP ? cpp_files : c_files;
}

/* The program that a language needs; NULL if it is not there. */
static const char *program_of(enum bench_lang lang)
{
    static const char *const node[] = {"/usr/bin/node", "/usr/local/bin/node"};
    if (lang == BENCH_JAVASCRIPT) {
        for (size_t i = 0; i < sizeof node / sizeof *node; i++)
            if (access(node[i], X_OK) == 0)
                return node[i];
        return NULL;
    }
    if (access("/usr/bin/gcc", X_OK) < 0 || (lang == BENCH_CPP && access("/usr/bin/g++", X_OK) < 0))
        return NULL;
    return lang == BENCH_CPP ? "/usr/bin/g++" : "/usr/bin/gcc";
}

/* ---- running the compiler on sources of our own ---- */

/* argv[0] with its words; out: its first line, or NULL. 0, or -1. */
static int run(const char *const *argv, char *out, size_t size)
{
    static char *const env[] = {"PATH=/usr/bin:/bin", "LC_ALL=C", NULL};
    posix_spawn_file_actions_t a;
    int fd[2], status = -1, rc;
    pid_t pid;
    ssize_t n;
    if (pipe2(fd, O_CLOEXEC) < 0)
        return -1;
    posix_spawn_file_actions_init(&a);
    posix_spawn_file_actions_addopen(&a, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&a, fd[1], 1);
    posix_spawn_file_actions_adddup2(&a, fd[1], 2);
    rc = posix_spawn(&pid, argv[0], &a, NULL, (char *const *)(uintptr_t)argv, env);
    posix_spawn_file_actions_destroy(&a);
    close(fd[1]);
    n = rc == 0 ? read(fd[0], out, size - 1) : 0;
    out[n > 0 ? n : 0] = 0;
    out[strcspn(out, "\n")] = 0;
    while (rc == 0 && read(fd[0], (char[4096]){0}, 4096) > 0)
        ;
    close(fd[0]);
    while (rc == 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return rc == 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

/* The words of fmt, filled, as one command. */
static int command(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int command(struct err *e, const char *fmt, ...)
{
    char text[4096], copy[4096], said[512], *save;
    const char *argv[WORDS + 1];
    int n = 0;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    memcpy(copy, text, sizeof copy);
    for (char *w = strtok_r(copy, "\t", &save); w && n < WORDS; w = strtok_r(NULL, "\t", &save))
        argv[n++] = w;
    argv[n] = NULL;
    return run(argv, said, sizeof said) == 0
               ? 0
               : err_set(e, ERR_OS, "sandbox: %s: %.200s", argv[0], said);
}

/* ---- the folder ---- */

static int copy_file(const char *from, const char *to, struct err *e)
{
    char buf[65536];
    size_t n;
    FILE *in = fopen(from, "rb"), *out = in ? fopen(to, "wb") : NULL;
    int ok = in && out;
    while (ok && (n = fread(buf, 1, sizeof buf, in)) > 0)
        ok = fwrite(buf, 1, n, out) == n;
    if (out && fclose(out) != 0)
        ok = 0;
    if (in)
        fclose(in);
    return ok ? 0 : err_errno(e, ERR_OS, "%s: copying to %s", from, to);
}

static int build(const char *root, const char *dir, enum bench_lang lang, struct err *e)
{
    char from[1200], to[1200];
    const char *name;
    snprintf(to, sizeof to, "%s/test", dir);
    if (mkdir(to, 0755) < 0)
        return err_errno(e, ERR_OS, "%s", to);
    for (const char *const *f = files_of(lang); *f && e->code == 0; f++) {
        name = strchr(*f, '/') + 1;
        snprintf(from, sizeof from, "%s/%s", root, *f);
        snprintf(to, sizeof to, "%s/%s", dir, name);
        copy_file(from, to, e);
    }
    if (lang == BENCH_JAVASCRIPT)
        return e->code;
    for (const char *const *f = c_objects; *f && e->code == 0; f++) {
        name = strchr(*f, '/') + 1;
        command(e, "/usr/bin/gcc\t-std=gnu11\t-O2\t-w\t-c\t%s/%s\t-o\t%s/%.*s.o", root, *f, dir,
                (int)strcspn(name, "."), name);
    }
    if (lang != BENCH_CPP || e->code)
        return e->code;
    command(e, "/usr/bin/g++\t-std=gnu++17\t-O2\t-w\t-c\t%s/cpp/caught.cpp\t-o\t%s/caught.o", root,
            dir);
    for (int checker = 0; checker < 2 && e->code == 0; checker++) {
        const char *role = checker ? "checker" : "candidate";
        if (checker)
            command(e,
                    "/usr/bin/g++\t@%s/flags-cpp\t@%s/flags-cpp-checker\t-x\tc++-header\t%s/"
                    "prelude-%s.hpp\t-o\t%s/prelude-%s.hpp.gch",
                    dir, dir, dir, role, dir, role);
        else
            command(e,
                    "/usr/bin/g++\t@%s/flags-cpp\t-x\tc++-header\t%s/prelude-%s.hpp\t-o\t%s/"
                    "prelude-%s.hpp.gch",
                    dir, dir, role, dir, role);
    }
    return e->code;
}

/* What the folder depends on: our sources and the compiler's version. */
static int fingerprint(const char *root, enum bench_lang lang, const char *program, char hex[65],
                       struct err *e)
{
    const char *const version[] = {
        program, lang == BENCH_JAVASCRIPT ? "--version" : "-dumpfullversion", NULL};
    const char *const *lists[] = {files_of(lang), c_objects, NULL};
    char path[1200], one[65], said[256];
    struct hash_sha256 h;
    if (run(version, said, sizeof said) < 0)
        return err_set(e, ERR_UNAVAILABLE, "%s does not run", program);
    if (hash_sha256_init(&h) < 0)
        return err_set(e, ERR_NOMEM, "out of memory");
    hash_sha256_add(&h, said, strlen(said) + 1);
    for (int l = 0; lists[l]; l++)
        for (const char *const *f = lists[l]; *f && e->code == 0; f++) {
            snprintf(path, sizeof path, "%s/%s", root, *f);
            if (hash_sha256_file(path, one, e) == 0)
                hash_sha256_add(&h, one, 64);
        }
    if (lang == BENCH_CPP && e->code == 0) {
        snprintf(path, sizeof path, "%s/cpp/caught.cpp", root);
        if (hash_sha256_file(path, one, e) == 0)
            hash_sha256_add(&h, one, 64);
    }
    hash_sha256_hex(&h, hex);
    return e->code;
}

int languages_open(struct languages *l, enum bench_lang lang, struct err *e)
{
    const char *program = program_of(lang);
    char root[900], hex[65], name[128], tmp[600];
    memset(l, 0, sizeof *l);
    if (!program)
        return err_set(e, ERR_UNAVAILABLE, "programs in %s need %s", bench_lang_name(lang),
                       lang == BENCH_JAVASCRIPT ? "/usr/bin/node (nodejs)"
                       : lang == BENCH_CPP      ? "/usr/bin/g++ (g++)"
                                                : "/usr/bin/gcc (gcc)");
    if (paths_find("configs/sandbox", root, sizeof root, e) < 0 ||
        fingerprint(root, lang, program, hex, e) < 0)
        return e->code;
    snprintf(name, sizeof name, "languages/%s-%.32s", bench_lang_name(lang), hex);
    if (cache_dir(name, l->dir, sizeof l->dir) == 0 && access(l->dir, R_OK | X_OK) == 0)
        return 0;
    /* beside its place, then there in one step: others may be at it too */
    if (!*l->dir || (snprintf(tmp, sizeof tmp, "%.560s.XXXXXX", l->dir), !mkdtemp(tmp))) {
        cache_temporary(tmp, sizeof tmp);
        if (!mkdtemp(tmp))
            return err_errno(e, ERR_CANTCREAT, "%s", tmp);
        l->temporary = 1;
    }
    chmod(tmp, 0755);
    build(root, tmp, lang, e);
    if (e->code == 0 && !l->temporary) {
        if (rename(tmp, l->dir) == 0)
            return 0;
        if (access(l->dir, R_OK | X_OK) == 0) { /* another process was first */
            cache_remove(tmp);
            return 0;
        }
        l->temporary = 1;
    }
    snprintf(l->dir, sizeof l->dir, "%s", tmp);
    if (e->code) {
        cache_remove(tmp);
        l->temporary = 0;
    }
    return e->code;
}

void languages_close(struct languages *l)
{
    if (l->temporary)
        cache_remove(l->dir);
    memset(l, 0, sizeof *l);
}

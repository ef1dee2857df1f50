/* test_gguf_split - several files appear whole or not at all: after an error, and when the writer is killed at any step
 *
 * rename and unlink here take libc's place: they count, and at the step that a test names the process is killed. */
#include "blocks.h"
#include "gguf.h"
#include "gguf_split.h"
#include "tap.h"
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FILES = 3, N = 32 };
static char dir[] = "/tmp/test_gguf_split.XXXXXX";
static int steps, kill_at = -1;

static void step(void)
{
    if (steps++ == kill_at)
        raise(SIGKILL);
}

int rename(const char *from, const char *to)
{
    step();
    return renameat(AT_FDCWD, from, AT_FDCWD, to);
}

int unlink(const char *path)
{
    step();
    return unlinkat(AT_FDCWD, path, 0);
}

static char *at(const char *name)
{
    static char s[4][200];
    static int k;
    char *p = s[k++ % 4];
    snprintf(p, sizeof s[0], "%s/%s", dir, name);
    return p;
}

static char *file(int i)
{
    char name[40];
    snprintf(name, sizeof name, "m-%05d-of-%05d.gguf", i + 1, FILES);
    return at(name);
}

/* A set of FILES whose values are all v; into m.gguf's names. */
static int put(float v, int (*look)(void *, const char *, struct err *), struct err *e)
{
    static float x[FILES][N];
    struct tensor t[FILES];
    struct gguf_out w = {.look = look};
    struct gguf_piece *p = NULL;
    const struct gguf_split one = {.max_tensors = 1};
    int n = 0;
    memset(t, 0, sizeof t);
    for (int i = 0; i < FILES; i++) {
        for (int k = 0; k < N; k++)
            x[i][k] = v;
        snprintf(t[i].name, sizeof t[i].name, "t%d", i);
        t[i].type = KN_F32;
        t[i].ndim = 1;
        t[i].dim[0] = N;
        t[i].data = x[i];
        t[i].bytes = sizeof x[i];
    }
    *e = (struct err){0};
    gguf_out_u32(&w, "some.key", 7);
    const int rc = gguf_write_split(at("m.gguf"), &w, t, FILES, &one, NULL, NULL, &p, &n, e);
    gguf_pieces_free(p, n);
    gguf_out_free(&w);
    return rc;
}

/* The value of a whole set; 0: no first file; -1: one that does not belong to the others. */
static float state(void)
{
    struct gguf g;
    struct err e = {0};
    if (access(file(0), F_OK))
        return 0;
    if (gguf_open(&g, file(0), &e) < 0)
        return -1;
    float v = g.n_tensor == FILES ? *(const float *)g.tensor[0].data : -1;
    for (int i = 0; i < g.n_tensor; i++)
        if (memcmp(g.tensor[i].data, &v, sizeof v))
            v = -1;
    gguf_close(&g);
    return v;
}

static int entries(void)
{
    DIR *d = opendir(dir);
    int n = -2; /* . and .. */
    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n;
}

static int look(void *arg, const char *path, struct err *e)
{
    struct gguf g;
    (void)arg;
    const int rc = gguf_open(&g, path, e); /* all files, under names by which they are found */
    if (rc < 0)
        return rc;
    const int whole = g.n_tensor == FILES && strcmp(path, file(0)) && state() != 2;
    gguf_close(&g);
    return whole ? 0 : err_set(e, ERR_SOFTWARE, "not whole");
}

static int refuse(void *arg, const char *path, struct err *e)
{
    (void)arg, (void)path;
    return err_set(e, ERR_DATA, "not a copy");
}

static void test_errors(void)
{
    struct err e;
    ok(put(1, look, &e) == 0 && state() == 1 && entries() == FILES,
       "written, looked at before they have their names %s", e.msg);
    ok(put(2, refuse, &e) == ERR_DATA && strstr(e.msg, "not a copy") && state() == 1 &&
           entries() == FILES,
       "refused when looked at: the earlier files stay, nothing else is left: %s", e.msg);
    ok(put(2, look, &e) == 0 && state() == 2 && entries() == FILES, "replaced %s", e.msg);
    for (int i = 0; i < FILES; i++) {
        unlink(file(i));
        if (mkdir(file(i), 0777))
            abort();
        const int rc = put(3, NULL, &e);
        rmdir(file(i));
        ok(rc == ERR_CANTCREAT && state() == 0, "file %d cannot have its name: no first file: %s",
           i + 1, e.msg);
    }
    ok(put(1, NULL, &e) == 0 && state() == 1 && entries() == FILES, "and again %s", e.msg);
}

static void test_kills(void)
{
    struct err e;
    int n, bad = 0, killed = 0, whole = 0;
    steps = 0;
    put(1, NULL, &e);
    n = steps;
    for (int k = 0; k < n; k++) {
        if (put(1, NULL, &e) < 0 || state() != 1)
            abort();
        const pid_t pid = fork();
        if (pid == 0) {
            steps = 0;
            kill_at = k;
            put(2, NULL, &e);
            _exit(0);
        }
        int status;
        waitpid(pid, &status, 0);
        const float now = state();
        killed += WIFSIGNALED(status);
        whole += now != 0;
        if (now != 0 && now != 1 && now != 2) {
            printf("# killed at step %d: %g\n", k, (double)now);
            bad++;
        }
    }
    ok(n >= 2 * FILES && killed == n && !bad && whole,
       "killed at each of %d steps: %d times a whole set, else none with a first file", n, whole);
    ok(put(2, NULL, &e) == 0 && state() == 2 && entries() == FILES,
       "what was left is swept away %s", e.msg);
}

int main(void)
{
    if (!mkdtemp(dir))
        return 1;
    test_errors();
    test_kills();
    for (int i = 0; i < FILES; i++)
        unlink(file(i));
    rmdir(dir);
    return done_testing();
}

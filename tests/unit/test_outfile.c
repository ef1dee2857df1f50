/* test_outfile - outputs appear whole or not at all; part files resume; sidecars name their inputs
 */
#include "json.h"
#include "outfile.h"
#include "tap.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[] = "/tmp/test_outfile.XXXXXX";

static char *at(const char *name)
{
    static char buf[4][256];
    static int i;
    i = (i + 1) % 4;
    snprintf(buf[i], sizeof buf[i], "%s/%s", dir, name);
    return buf[i];
}

static long size_of(const char *path)
{
    struct stat st;
    return stat(path, &st) ? -1 : (long)st.st_size;
}

static int count(void *arg, const char *line, size_t n, struct err *e)
{
    (void)line;
    (void)n;
    (void)e;
    ++*(int *)arg;
    return 0;
}

static int entries(void)
{
    char cmd[300];
    int n = -1;
    snprintf(cmd, sizeof cmd, "ls -A %s | wc -l", dir);
    FILE *p = popen(cmd, "r");
    if (p) {
        if (fscanf(p, "%d", &n) != 1)
            n = -1;
        pclose(p);
    }
    return n;
}

int main(void)
{
    struct err e = {0};
    struct outfile o;
    struct partfile p;
    int seen = 0;
    ok(mkdtemp(dir) != NULL, "scratch folder");

    ok(outfile_open(&o, at("a"), &e) == 0 && outfile_write(&o, "abc", 3, &e) == 0,
       "open and write");
    ok(size_of(at("a")) == -1, "nothing under the name before commit");
    ok(outfile_pad(&o, 8, &e) == 0 && outfile_commit(&o, &e) == 0 && size_of(at("a")) == 8,
       "pad, commit");
    ok(strlen(o.hex) == 64, "digest %s", o.hex);
    ok(outfile_open(&o, at("b"), &e) == 0 && outfile_write(&o, "abc", 3, &e) == 0, "a second file");
    outfile_abort(&o);
    ok(size_of(at("b")) == -1 && entries() == 1, "abort leaves nothing");

    ok(outfile_open(&o, at("c"), &e) == 0 && outfile_commit(&o, &e) == 0, "an empty file");
    ok(strcmp(o.hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855") == 0,
       "sha256 of nothing");

    pid_t pid = fork();
    if (pid == 0) { /* killed in the middle of writing */
        struct outfile c;
        if (outfile_open(&c, at("d"), &e) == 0)
            fputs("half", c.f);
        kill(getpid(), 9);
    }
    waitpid(pid, NULL, 0);
    ok(size_of(at("d")) == -1, "kill -9: nothing under the name");
    ok(outfile_open(&o, at("d"), &e) == 0 && outfile_write(&o, "x", 1, &e) == 0 &&
           outfile_commit(&o, &e) == 0 && entries() == 3,
       "the next open sweeps the dead temporary");

    ok(outfile_open(&o, "/nonexistent/x", &e) == ERR_CANTCREAT && strstr(e.msg, "/nonexistent/x"),
       "no such folder: %s", e.msg);
    memset(&e, 0, sizeof e);
    ok(outfile_open(&o, "/dev/full", &e) == 0 && outfile_write(&o, "x", 1, &e) == 0 &&
           outfile_commit(&o, &e) == ERR_IO,
       "a full device: %s", e.msg);
    memset(&e, 0, sizeof e);

    ok(partfile_open(&p, at("r"), "key-1", count, &seen, &e) == 0 && seen == 0, "a new part file");
    ok(partfile_line(&p, "one", 3, &e) == 0 && partfile_line(&p, "two", 3, &e) == 0, "two records");
    fputs("torn", p.f);
    partfile_close(&p);
    ok(partfile_open(&p, at("r"), "key-1", count, &seen, &e) == 0 && seen == 2 && p.kept == 2,
       "resume keeps whole lines and drops the torn one");
    ok(partfile_line(&p, "three", 5, &e) == 0, "go on");
    partfile_close(&p);
    seen = 0;
    ok(partfile_open(&p, at("r"), "key-2", count, &seen, &e) == 0 && seen == 0,
       "another key starts over");
    ok(partfile_line(&p, "uno", 3, &e) == 0 && partfile_commit(&p, &e) == 0 &&
           size_of(at("r")) == 4 && size_of(at("r.part")) == -1,
       "commit leaves the records without the key");

    char cmd[300];
    snprintf(cmd, sizeof cmd, "rm -r %s", dir);
    ok(system(cmd) == 0, "clean up");
    return done_testing();
}

/* hub - names on a hub, the environment of its clients, and places in its cache */
#include "hub.h"
#include "json.h"
#include "outfile.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- names ---- */

/* One or two parts of letters, digits, - _ and . as huggingface_hub's validate_repo_id. */
static int repo_ok(const char *s)
{
    int slashes = 0, at = 0; /* at: bytes of this part */
    for (; *s; s++) {
        int word = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') ||
                   (*s >= '0' && *s <= '9') || *s == '_';
        if (*s == '/') {
            if (!at || s[-1] == '.' || s[-1] == '-' || slashes++)
                return 0;
            at = -1;
        } else if (!word && ((*s != '-' && *s != '.') || !at || s[-1] == *s)) {
            return 0;
        }
        at++;
    }
    return at > 0 && s[-1] != '.' && s[-1] != '-';
}

int hub_path_ok(const char *s)
{
    int parts = 0;
    if (strlen(s) >= sizeof((struct hub_name *)NULL)->file || !utf8_valid(s, strlen(s)))
        return 0;
    for (const char *p = s; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f || *p == '\\')
            return 0;
    for (;;) {
        size_t n = strcspn(s, "/");
        if (n == 0 || n > 255 || (n <= 2 && strspn(s, ".") >= n) || ++parts > HUB_DEPTH)
            return 0;
        if (!s[n])
            return 1;
        s += n + 1;
    }
}

static int take(char *to, size_t size, const char *from, size_t n)
{
    if (n >= size)
        return 0;
    memcpy(to, from, n);
    to[n] = 0;
    return 1;
}

int hub_name(struct hub_name *n, const char *text, struct err *e)
{
    const char *s = text;
    struct hub_name own = {.kind = "models", .rev = "main"};
    static const char data[] = "datasets/";
    if (strncmp(s, HUB_SCHEME, sizeof HUB_SCHEME - 1))
        return err_set(e, ERR_USAGE, "%.200s: expected hf://ORG/NAME[@REVISION][:FILE]", text);
    s += sizeof HUB_SCHEME - 1;
    if (strncmp(s, data, sizeof data - 1) == 0) {
        snprintf(own.kind, sizeof own.kind, "datasets");
        s += sizeof data - 1;
    }
    size_t k = strcspn(s, "@:");
    int good = take(own.repo, sizeof own.repo, s, k) && repo_ok(own.repo);
    s += k;
    if (good && *s == '@') {
        k = strcspn(++s, ":");
        good =
            take(own.rev, sizeof own.rev, s, k) && hub_path_ok(own.rev) && !strpbrk(own.rev, "?#%");
        s += k;
    }
    if (good && *s == ':')
        good = take(own.file, sizeof own.file, s + 1, strlen(s + 1)) && hub_path_ok(own.file);
    if (!good)
        return err_set(e, ERR_USAGE, "%.200s: expected hf://ORG/NAME[@REVISION][:FILE]", text);
    *n = own;
    return 0;
}

int hub_name_of_url(struct hub_name *n, const char *url, const char *endpoint, struct err *e)
{
    size_t k = strlen(endpoint);
    char text[1500];
    const char *p, *rev, *file;
    if (strncmp(url, endpoint, k) || url[k] != '/')
        return 1;
    p = url + k + 1;
    if (!(rev = strstr(p, "/resolve/")) && !(rev = strstr(p, "/blob/")))
        return 1;
    const char *first = strchr(rev + 1, '/') + 1;
    if (!(file = strchr(first, '/')) || strchr(url, '%'))
        return 1;
    snprintf(text, sizeof text, HUB_SCHEME "%.*s@%.*s:%.*s", (int)(rev - p), p, (int)(file - first),
             first, (int)strcspn(file + 1, "?#"), file + 1);
    return hub_name(n, text, e);
}

/* ---- the environment ---- */

static const char *env(const char *name)
{
    const char *s = getenv(name);
    return s && *s ? s : NULL;
}

static int env_true(const char *name)
{
    static const char *const yes[] = {"1", "on", "yes", "true"};
    const char *s = env(name);
    for (size_t i = 0; s && i < sizeof yes / sizeof *yes; i++)
        if (strcasecmp(s, yes[i]) == 0)
            return 1;
    return 0;
}

static int set_endpoint(struct hub *h, struct err *e)
{
    const char *s = env("HF_ENDPOINT");
    s = s ? s : "https://huggingface.co";
    size_t n = strlen(s);
    while (n && s[n - 1] == '/')
        n--;
    if ((strncmp(s, "https://", 8) && strncmp(s, "http://", 7)) || strpbrk(s, "@?# \t\r\n") ||
        !take(h->endpoint, sizeof h->endpoint, s, n))
        return err_set(e, ERR_CONFIG, "HF_ENDPOINT: expected http(s)://HOST[:PORT], found %.100s",
                       s);
    return 0;
}

/* The token is a header's value: one line of printable text.  It is never part of a message. */
static int set_token(struct hub *h, const char *home, struct err *e)
{
    char path[PATH_MAX], line[sizeof h->token + 2] = "";
    const char *s = env("HF_TOKEN"), *from = "HF_TOKEN";
    if (!s && (s = env("HUGGING_FACE_HUB_TOKEN")))
        from = "HUGGING_FACE_HUB_TOKEN";
    if (!s) {
        snprintf(path, sizeof path, "%s%s", env("HF_TOKEN_PATH") ? env("HF_TOKEN_PATH") : home,
                 env("HF_TOKEN_PATH") ? "" : "/token");
        FILE *f = fopen(path, "re");
        if (!f)
            return 0;
        size_t n = fread(line, 1, sizeof line - 1, f);
        fclose(f);
        line[n] = 0;
        s = line;
        from = path;
    }
    s += strspn(s, " \t\r\n");
    size_t n = strlen(s);
    while (n && strchr(" \t\r\n", s[n - 1]))
        n--;
    for (size_t i = 0; i < n; i++)
        if (s[i] <= 0x20 || s[i] >= 0x7f)
            return err_set(e, ERR_CONFIG, "%s: expected one line of printable text", from);
    if (!take(h->token, sizeof h->token, s, n))
        return err_set(e, ERR_CONFIG, "%s: longer than %zu bytes", from, sizeof h->token - 1);
    return 0;
}

int hub_settings(struct hub *h, struct err *e)
{
    char home[PATH_MAX / 2];
    const char *user = env("HOME"), *xdg = env("XDG_CACHE_HOME"), *own = env("HF_HUB_CACHE");
    int k;
    memset(h, 0, sizeof *h);
    own = own ? own : env("HUGGINGFACE_HUB_CACHE");
    if (env("HF_HOME"))
        k = snprintf(home, sizeof home, "%s", env("HF_HOME"));
    else if (xdg)
        k = snprintf(home, sizeof home, "%s/huggingface", xdg);
    else
        k = snprintf(home, sizeof home, "%s/.cache/huggingface", user ? user : "");
    if (k >= (int)sizeof home - 8 || (own && strlen(own) >= sizeof h->cache))
        return err_set(e, ERR_CONFIG, "HF_HOME, HF_HUB_CACHE: path too long");
    if (!own && !user && !xdg && !env("HF_HOME"))
        return err_set(e, ERR_CONFIG, "no place for the cache: set HF_HOME");
    snprintf(h->cache, sizeof h->cache, own ? "%s" : "%s/hub", own ? own : home);
    h->offline = env_true("HF_HUB_OFFLINE") || env_true("TRANSFORMERS_OFFLINE");
    return set_endpoint(h, e) < 0 ? e->code : set_token(h, home, e);
}

/* ---- places in the cache ---- */

int hub_path(const struct hub *h, const struct hub_name *n, char buf[PATH_MAX], struct err *e,
             const char *fmt, ...)
{
    va_list ap;
    int k = snprintf(buf, PATH_MAX, "%s/%s--", h->cache, n->kind), m;
    for (const char *s = n->repo; *s && k < PATH_MAX - 3; s++) {
        buf[k++] = *s == '/' ? '-' : *s;
        if (*s == '/')
            buf[k++] = '-';
    }
    buf[k++] = '/';
    va_start(ap, fmt);
    m = vsnprintf(buf + k, (size_t)(PATH_MAX - k), fmt, ap);
    va_end(ap);
    return m >= PATH_MAX - k ? err_set(e, ERR_CANTCREAT, "%s: path too long in the cache", n->repo)
                             : 0;
}

int hub_make_parents(const char *path, struct err *e)
{
    char buf[PATH_MAX];
    size_t n = strlen(path);
    if (n >= sizeof buf)
        return err_set(e, ERR_CANTCREAT, "%.200s: path too long", path);
    memcpy(buf, path, n + 1);
    for (char *p = buf + 1; (p = strchr(p, '/')); p++) {
        *p = 0;
        if (mkdir(buf, 0777) && errno != EEXIST)
            return err_errno(e, ERR_CANTCREAT, "%s", buf);
        *p = '/';
    }
    return 0;
}

int hub_put(const char *path, const char *text, struct err *e)
{
    struct outfile o;
    if (hub_make_parents(path, e) < 0 || outfile_open(&o, path, e) < 0)
        return e->code;
    if (outfile_write(&o, text, strlen(text), e) < 0) {
        outfile_abort(&o);
        return e->code;
    }
    return outfile_commit(&o, e);
}

static int is_commit(const char *s)
{
    return strspn(s, "0123456789abcdef") == 40 && !s[40];
}

int hub_commit(const struct hub *h, const struct hub_name *n, char commit[41], struct err *e)
{
    char path[PATH_MAX], line[64] = "";
    if (is_commit(n->rev)) {
        memcpy(commit, n->rev, 41);
        return 0;
    }
    if (hub_path(h, n, path, e, "refs/%s", n->rev) < 0)
        return e->code;
    FILE *f = fopen(path, "re");
    size_t k = f ? fread(line, 1, sizeof line - 1, f) : 0;
    if (f)
        fclose(f);
    while (k && (line[k - 1] == '\n' || line[k - 1] == '\r'))
        k--;
    line[k] = 0;
    if (!is_commit(line))
        return err_set(e, ERR_NOINPUT, "%s@%s: not in the cache (%s)", n->repo, n->rev, h->cache);
    memcpy(commit, line, 41);
    return 0;
}

int hub_link(const struct hub *h, const struct hub_name *n, const char *commit,
             const struct hub_file *f, struct err *e)
{
    char path[PATH_MAX], tmp[PATH_MAX], to[200] = "", now[200];
    int k = 0;
    for (const char *s = f->path; (s = strchr(s, '/')); s++) /* at most HUB_DEPTH */
        k += snprintf(to + k, sizeof to - (size_t)k, "../");
    snprintf(to + k, sizeof to - (size_t)k, "../../blobs/%s", f->oid);
    if (hub_path(h, n, path, e, "snapshots/%s/%s", commit, f->path) < 0 ||
        hub_make_parents(path, e) < 0)
        return e->code;
    if (snprintf(tmp, sizeof tmp, "%s.tmp.%ld", path, (long)getpid()) >= (int)sizeof tmp)
        return err_set(e, ERR_CANTCREAT, "%.200s: path too long", path);
    ssize_t m = readlink(path, now, sizeof now);
    if (m == (ssize_t)strlen(to) && memcmp(now, to, (size_t)m) == 0)
        return 0;
    unlink(tmp);
    if (symlink(to, tmp) || rename(tmp, path)) { /* seen whole or not at all */
        err_errno(e, ERR_CANTCREAT, "%s", path);
        unlink(tmp);
        return e->code;
    }
    return 0;
}

int hub_cached(const struct hub *h, const struct hub_name *n, char path[PATH_MAX], struct err *e)
{
    char commit[41];
    int rc = hub_commit(h, n, commit, e);
    if (rc == 0)
        rc = hub_path(h, n, path, e, "snapshots/%s%s%s", commit, *n->file ? "/" : "", n->file);
    if (rc == 0 && access(path, F_OK))
        rc = err_set(e, ERR_NOINPUT, "%s: not in the cache (%s)", *n->file ? n->file : n->repo,
                     path);
    return rc == ERR_NOINPUT ? err_prefix(e, "fetch it with apr-pull first") : rc;
}

int hub_operand(const char *operand, char path[PATH_MAX], struct err *e)
{
    struct hub h;
    struct hub_name n;
    if (strncmp(operand, HUB_SCHEME, sizeof HUB_SCHEME - 1))
        return snprintf(path, PATH_MAX, "%s", operand) < PATH_MAX
                   ? 0
                   : err_set(e, ERR_NOINPUT, "%.200s: path too long", operand);
    return hub_name(&n, operand, e) < 0 || hub_settings(&h, e) < 0 ? e->code
                                                                   : hub_cached(&h, &n, path, e);
}

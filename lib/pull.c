/* pull - many files at once, each in ranges, over one multi handle: what to ask next, and what became of it
 *
 *     QUEUED -> LOCKED (another process has it) -> FETCH -> CHECK (a thread reads it) -> DONE
 * A span of a file is idle, on its way in one transfer, or complete.  A failure leaves it idle until the file may
 * try again. */
#include "pull.h"
#include "clock.h"
#include "hash.h"
#include "pull_impl.h"
#include "pull_part.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SLOTS = 64, DISCARD_MAX = 1 << 20, PROGRESS = 64 << 10 };
static const double AT_ONCE = 0.1; /* seconds: a connection that brought something was cut */
enum phase { QUEUED, LOCKED, FETCH, CHECK, DONE };

struct file {
    struct pull_item *item;
    enum phase phase;
    int lock;
    struct part part;
    uint8_t busy[PART_SPANS];
    int no_ranges; /* the server sent the whole file for a range */
    int again;     /* its bytes were wrong once */
    long fails;
    uint64_t had, at_failure; /* bytes that were there at the start, and when it last failed */
    double not_before;
    /* of the thread that reads it */
    pthread_t thread;
    _Atomic int checked; /* 1: as expected, -1: other bytes, -2: could not be read */
    struct err check_err;
};

struct transfer {
    struct pull_request r;
    struct file *f;                   /* NULL: free */
    int span, judged, discard, whole; /* whole: the server sent all for a range */
    uint64_t asked, discarded;
    struct pull *x;
    struct err e; /* what stopped it from our side */
};

struct pull {
    const struct pull_opts *o;
    CURLM *multi;
    struct file *file;
    int n, active;
    struct transfer slot[SLOTS];
    double not_before; /* a server asked all of us to wait */
};

static void say(const struct pull *x, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(const struct pull *x, const char *fmt, ...)
{
    char line[400];
    va_list ap;
    if (!x->o->say)
        return;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    x->o->say(x->o->arg, line);
}

/* ---- what comes in ---- */

/* The first byte of a body: is it what was asked for? */
static int judge_body(struct transfer *t)
{
    struct file *f = t->f;
    long status = 0;
    uint64_t begin, last, total;
    const char *range;
    curl_easy_getinfo(t->r.h, CURLINFO_RESPONSE_CODE, &status);
    t->judged = 1;
    t->discard = status < 200 || status > 299;
    if (t->discard)
        return 1;
    if (status != 206) { /* the whole file, from its first byte */
        if (t->asked == 0 && f->part.n == 1)
            return 1;
        t->whole = 1;
        return 0;
    }
    range = pull_header(&t->r, "Content-Range");
    int found =
        range ? sscanf(range, "bytes %" SCNu64 "-%" SCNu64 "/%" SCNu64, &begin, &last, &total) : 0;
    if (found < 2)
        return !err_set(&t->e, ERR_DATA, "%s: Content-Range: expected bytes A-B/SIZE, found %.60s",
                        f->item->name, range ? range : "none");
    if (begin == t->asked && (found == 2 || total == f->part.size))
        return 1;
    return !err_set(&t->e, ERR_DATA,
                    "%s: asked for bytes from %" PRIu64 " of %" PRIu64 ", the server sends %.60s",
                    f->item->name, t->asked, f->part.size, range);
}

static size_t on_body(char *p, size_t one, size_t n, void *arg)
{
    struct transfer *t = arg;
    struct part_span *s = &t->f->part.span[t->span];
    n *= one;
    if (!t->judged && !judge_body(t))
        return 0;
    if (t->discard) {
        t->discarded += n;
        return t->discarded > DISCARD_MAX ? 0 : n;
    }
    uint64_t room = s->end - s->at;
    size_t k = n < room ? n : (size_t)room;
    if (part_write(&t->f->part, t->span, p, k, &t->e) < 0)
        return 0;
    t->f->item->fetched += k;
    return k; /* less than n: more than the file has; the digest tells whether it is the right one */
}

/* ---- the next request ---- */

static int free_span(const struct file *f)
{
    for (uint32_t i = 0; i < f->part.n; i++)
        if (!f->busy[i] && f->part.span[i].at < f->part.span[i].end)
            return (int)i;
    return -1;
}

static int send_request(struct transfer *t, struct err *e)
{
    const struct part *p = &t->f->part;
    const struct part_span *s = &p->span[t->span];
    char range[64], *asks = NULL;
    t->judged = t->discard = t->whole = 0;
    t->discarded = 0;
    t->asked = s->at;
    if (p->size != PULL_UNKNOWN && !t->f->no_ranges && (p->n > 1 || s->at)) {
        snprintf(range, sizeof range, "%" PRIu64 "-%" PRIu64, s->at, s->end - 1);
        asks = range;
    }
    if (pull_prepare(&t->r, t->x->o, asks, e) < 0)
        return e->code;
    curl_easy_setopt(t->r.h, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(t->r.h, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(t->r.h, CURLOPT_PRIVATE, t);
    return curl_multi_add_handle(t->x->multi, t->r.h) ? err_set(e, ERR_NOMEM, "out of memory") : 0;
}

static int begin(struct pull *x, struct file *f, int span, struct err *e)
{
    struct transfer *t = x->slot;
    while (t->f)
        t++;
    t->f = f;
    t->x = x;
    t->span = span;
    t->e.code = 0;
    t->r.name = f->item->name;
    t->r.hops = 0;
    if (strlen(f->item->url) >= sizeof t->r.url)
        return err_set(e, ERR_USAGE, "%s: address too long", t->r.name);
    memcpy(t->r.url, f->item->url, strlen(f->item->url) + 1);
    f->busy[span] = 1;
    x->active++;
    return send_request(t, e);
}

static void end(struct transfer *t)
{
    t->f->busy[t->span] = 0;
    t->f = NULL;
    t->x->active--;
}

/* Every transfer of the file stops; its spans are idle. */
static void stop(struct pull *x, const struct file *f)
{
    for (struct transfer *t = x->slot; t < x->slot + SLOTS; t++)
        if (t->f && (!f || t->f == f)) {
            curl_multi_remove_handle(x->multi, t->r.h);
            end(t);
        }
}

/* ---- one file ---- */

static void *check_thread(void *arg)
{
    struct file *f = arg;
    char part[4200];
    snprintf(part, sizeof part, "%s.part", f->item->path);
    int rc = hash_oid_file(part, f->item->oid, &f->check_err);
    atomic_store(&f->checked, rc < 0 ? -2 : rc ? 1 : -1);
    return NULL;
}

static int close_file(struct file *f)
{
    part_close(&f->part);
    if (f->lock >= 0)
        close(f->lock);
    f->lock = -1;
    f->phase = DONE;
    return 0;
}

/* Complete: read it, or take it as it is. */
static int ended(struct file *f, struct err *e)
{
    if (*f->item->oid) {
        f->checked = 0;
        if (pthread_create(&f->thread, NULL, check_thread, f))
            return err_set(e, ERR_OS, "no thread");
        f->phase = CHECK; /* there is a thread to wait for */
        return 0;
    }
    f->item->size = f->part.size == PULL_UNKNOWN ? f->part.span[0].at : f->part.size;
    return part_commit(&f->part, e) < 0 ? e->code : close_file(f);
}

static int after_check(struct pull *x, struct file *f, struct err *e)
{
    pthread_join(f->thread, NULL);
    f->phase = FETCH; /* that thread is gone */
    if (f->checked == -2)
        return err_set(e, f->check_err.code, "%s", f->check_err.msg);
    if (f->checked == 1)
        return part_commit(&f->part, e) < 0 ? e->code : close_file(f);
    if (f->again++) {
        part_remove(&f->part);
        return err_set(e, ERR_DATA, "%s: expected %s %s, found other bytes, twice", f->item->name,
                       strlen(f->item->oid) == 64 ? "sha256" : "git's sha1", f->item->oid);
    }
    say(x, "%s: other bytes than its digest says: fetched again", f->item->name);
    return part_reset(&f->part, f->no_ranges, x->o->range, e);
}

/* All bytes are there, and no transfer is at them: one may have brought its last byte and not be over. */
static int all_in(const struct file *f)
{
    for (uint32_t i = 0; i < f->part.n; i++)
        if (f->busy[i])
            return 0;
    return part_complete(&f->part);
}

static int open_file(struct pull *x, struct file *f, struct err *e)
{
    struct err why = {0};
    const char *lock = f->item->lock;
    int rc;
    if (lock && f->lock < 0 && (f->lock = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0666)) < 0)
        return err_errno(e, ERR_CANTCREAT, "%s", lock);
    rc = lock && flock(f->lock, LOCK_EX | LOCK_NB) ? ERR_LOCKED : 0;
    if (rc == 0 && lock && access(f->item->path, F_OK) == 0) /* another process was there first */
        return close_file(f);
    if (rc == 0)
        rc = part_open(&f->part, f->item->path, f->item->size, f->item->key, x->o->range, &why);
    if (rc == ERR_LOCKED) {
        if (f->phase != LOCKED)
            say(x, "%s: another process fetches it: waiting", f->item->name);
        f->phase = LOCKED;
        f->not_before = clock_now() + 0.2;
        return 0;
    }
    if (rc < 0)
        return err_set(e, why.code, "%s", why.msg);
    f->phase = FETCH;
    f->had = f->at_failure = part_done(&f->part);
    return part_complete(&f->part) ? ended(f, e) : 0;
}

/* Not now: later, if the file has tries left. */
static int put_off(struct pull *x, struct file *f, double wait, const struct err *why,
                   struct err *e)
{
    uint64_t done = part_done(&f->part);
    int moved = done > f->at_failure + PROGRESS;
    if (moved)
        f->fails = 0;
    f->at_failure = done;
    if (++f->fails > x->o->retries)
        return err_set(e, why->code, "%s", why->msg);
    double s = wait > 0 ? wait : moved ? AT_ONCE : pull_backoff(f->fails);
    f->not_before = clock_now() + s;
    if (wait > 0 && f->not_before > x->not_before)
        x->not_before = f->not_before;
    say(x, "%.250s; again in %.1f s", why->msg, s);
    return 0;
}

/* A transfer is over. */
static int over(struct pull *x, struct transfer *t, CURLcode code, struct err *e)
{
    struct file *f = t->f;
    struct part_span *s = &f->part.span[t->span];
    struct err why = {0};
    curl_multi_remove_handle(x->multi, t->r.h);
    if (t->whole) {
        f->no_ranges = 1;
        say(x, "%s: the server takes no ranges: from the start in one piece", f->item->name);
        stop(x, f);
        return part_reset(&f->part, 1, 0, e);
    }
    if (t->judged && !t->discard && s->at == s->end && !t->e.code) {
        end(t);
        return all_in(f) ? ended(f, e) : 0;
    }
    if (t->e.code) {
        end(t);
        return err_set(e, t->e.code, "%s", t->e.msg);
    }
    enum pull_verdict v = pull_judge(&t->r, code, &why);
    if (v == PULL_HOP)
        return send_request(t, e);
    end(t);
    if (v == PULL_OK && f->part.size == PULL_UNKNOWN) {
        s->end = s->at;
        return ended(f, e);
    }
    if (v == PULL_OK)
        err_set(&why, ERR_UNAVAILABLE, "%s: the server ended %" PRIu64 " bytes early",
                f->item->name, s->end - s->at);
    if (f->no_ranges || f->part.size == PULL_UNKNOWN) { /* what came is of no use for the next */
        if (part_reset(&f->part, 1, 0, e) < 0)
            return e->code;
    }
    return v == PULL_FAIL ? err_set(e, why.code, "%s", why.msg) : put_off(x, f, t->r.wait, &why, e);
}

/* ---- all of them ---- */

/* Fill the free slots: files under way first, so that few are open at once. */
static int fill_slots(struct pull *x, double now, struct err *e)
{
    long slots = x->o->connections < SLOTS ? x->o->connections : SLOTS;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < x->n && x->active < slots && now >= x->not_before; i++) {
            struct file *f = &x->file[i];
            int span;
            if (now < f->not_before)
                continue;
            if (pass && f->phase <= LOCKED && open_file(x, f, e) < 0)
                return e->code;
            while (f->phase == FETCH && x->active < slots && (span = free_span(f)) >= 0)
                if (begin(x, f, span, e) < 0)
                    return e->code;
        }
    return 0;
}

static int left(const struct pull *x)
{
    for (int i = 0; i < x->n; i++)
        if (x->file[i].phase != DONE)
            return 1;
    return 0;
}

/* Bytes of this run, so that what was there before does not count for the rate. */
static void show(const struct pull *x)
{
    uint64_t done = 0, total = 0;
    for (int i = 0; i < x->n; i++) {
        const struct file *f = &x->file[i];
        done += f->item->fetched;
        if (f->item->size != PULL_UNKNOWN && f->item->size - f->had > f->item->fetched)
            total += f->item->size - f->had;
        else
            total += f->item->fetched;
    }
    if (x->o->progress)
        x->o->progress(x->o->arg, done, total);
}

static int loop(struct pull *x, struct err *e)
{
    while (left(x)) {
        int running, rest, rc;
        CURLMsg *m;
        if (fill_slots(x, clock_now(), e) < 0)
            return e->code;
        if (curl_multi_perform(x->multi, &running))
            return err_set(e, ERR_SOFTWARE, "libcurl failed");
        while ((m = curl_multi_info_read(x->multi, &rest))) {
            char *t = NULL;
            CURLcode code = m->data.result;
            if (m->msg != CURLMSG_DONE)
                continue;
            curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &t);
            if ((rc = over(x, (struct transfer *)(void *)t, code, e)) < 0)
                return rc;
        }
        for (int i = 0; i < x->n; i++)
            if (x->file[i].phase == CHECK && x->file[i].checked &&
                (rc = after_check(x, &x->file[i], e)) < 0)
                return rc;
        show(x);
        if (left(x))
            curl_multi_poll(x->multi, NULL, 0, running ? 200 : 50, NULL);
    }
    return 0;
}

int pull_files(struct pull_item *v, int n, const struct pull_opts *o, struct err *e)
{
    struct pull *x;
    int rc = pull_begin(e);
    if (rc < 0)
        return rc;
    x = calloc(1, sizeof *x);
    if (!x || !(x->file = calloc((size_t)n + 1, sizeof *x->file)) ||
        !(x->multi = curl_multi_init())) {
        if (x)
            free(x->file);
        free(x);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    x->o = o;
    x->n = n;
    for (int i = 0; i < n; i++) {
        x->file[i] = (struct file){.item = &v[i], .lock = -1, .part = {.fd = -1, .state = -1}};
        v[i].fetched = 0;
    }
    rc = loop(x, e);
    stop(x, NULL);
    for (int i = 0; i < n; i++) {
        struct file *f = &x->file[i];
        if (rc < 0 && f->phase == CHECK)
            pthread_join(f->thread, NULL);
        if (f->phase == FETCH)
            part_save(&f->part, NULL);
        close_file(f);
    }
    for (int i = 0; i < SLOTS; i++)
        pull_request_free(&x->slot[i].r);
    curl_multi_cleanup(x->multi);
    free(x->file);
    free(x);
    return rc;
}

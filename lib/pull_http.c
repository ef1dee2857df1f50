/* pull_http - one request: where the token goes, where redirects may lead, which failures are worth another try */
#include "clock.h"
#include "pull_impl.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { TEXT_MAX = 64 << 20, WAIT_MAX = 600, CONNECT_S = 20 };

static pthread_once_t once = PTHREAD_ONCE_INIT;
static CURLcode started;

static void start(void)
{
    started = curl_global_init(CURL_GLOBAL_DEFAULT);
}

int pull_begin(struct err *e)
{
    pthread_once(&once, start);
    return started ? err_set(e, ERR_SOFTWARE, "libcurl: %s", curl_easy_strerror(started)) : 0;
}

double pull_backoff(long fails)
{
    double s = 0.5;
    while (--fails > 0 && s < 30)
        s *= 2;
    return s < 30 ? s : 30;
}

/* Bytes of scheme://host[:port]; 0 if there is a user in it, what another parser may cut elsewhere, or no http. */
static size_t origin(const char *url)
{
    size_t k = strncasecmp(url, "https://", 8) == 0 ? 8 : strncasecmp(url, "http://", 7) ? 0 : 7;
    size_t n = k ? k + strcspn(url + k, "/?#") : 0;
    return n > k && !memchr(url + k, '@', n - k) && !strpbrk(url, "\\ \t\r\n") ? n : 0;
}

static int loopback(const char *url)
{
    static const char *const names[] = {"http://localhost", "http://127.0.0.1", "http://[::1]"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t n = strlen(names[i]);
        if (strncasecmp(url, names[i], n) == 0 && (!url[n] || strchr(":/?#", url[n])))
            return 1;
    }
    return 0;
}

/* To the origin of the endpoint and no other, and in clear to this machine alone. */
static int token_goes(const struct pull_opts *o, const char *url)
{
    size_t n = origin(url);
    return o->token && *o->token && o->endpoint && n && n == origin(o->endpoint) &&
           strncasecmp(url, o->endpoint, n) == 0 &&
           (strncasecmp(url, "https:", 6) == 0 || loopback(url));
}

const char *pull_shown(const char *url, char buf[300])
{
    const char *scheme = strstr(url, "://"), *host = scheme ? scheme + 3 : url;
    const char *at = strpbrk(host, "@/?#");
    snprintf(buf, 300, "%.*s", (int)strcspn(url, "?#"), url);
    if (at && *at == '@')
        snprintf(buf, 300, "(address with a user)");
    return buf;
}

const char *pull_header(struct pull_request *r, const char *name)
{
    struct curl_header *h;
    return curl_easy_header(r->h, name, 0, CURLH_HEADER, -1, &h) == CURLHE_OK ? h->value : NULL;
}

int pull_prepare(struct pull_request *r, const struct pull_opts *o, const char *range,
                 struct err *e)
{
    char line[700], shown[300];
    struct curl_slist *more;
    if (!origin(r->url))
        return err_set(e, ERR_USAGE, "%s: expected an address http(s)://HOST/...",
                       pull_shown(r->url, shown));
    if (!r->h && !(r->h = curl_easy_init()))
        return err_set(e, ERR_NOMEM, "out of memory");
    curl_easy_reset(r->h);
    curl_slist_free_all(r->headers);
    r->headers = NULL;
    r->error[0] = 0;
    r->wait = 0;
    if (token_goes(o, r->url)) {
        snprintf(line, sizeof line, "Authorization: Bearer %s", o->token);
        if (!(more = curl_slist_append(r->headers, line)))
            return err_set(e, ERR_NOMEM, "out of memory");
        r->headers = more;
    }
    curl_easy_setopt(r->h, CURLOPT_URL, r->url);
    curl_easy_setopt(r->h, CURLOPT_HTTPHEADER, r->headers);
    curl_easy_setopt(r->h, CURLOPT_RANGE, range);
    curl_easy_setopt(r->h, CURLOPT_ERRORBUFFER, r->error);
    curl_easy_setopt(r->h, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(r->h, CURLOPT_FOLLOWLOCATION, 0L); /* each hop is looked at */
    curl_easy_setopt(r->h, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(r->h, CURLOPT_USERAGENT, "apr-pull/" APR_VERSION);
    /* ranges are to come side by side, not through one connection */
    curl_easy_setopt(r->h, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(r->h, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S);
    curl_easy_setopt(r->h, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(r->h, CURLOPT_LOW_SPEED_TIME, o->stall);
    return 0;
}

void pull_request_free(struct pull_request *r)
{
    curl_slist_free_all(r->headers);
    if (r->h)
        curl_easy_cleanup(r->h);
    memset(r, 0, sizeof *r);
}

static enum pull_verdict hop(struct pull_request *r, struct err *e)
{
    char *to = NULL, shown[300];
    curl_easy_getinfo(r->h, CURLINFO_REDIRECT_URL, &to);
    if (!to || !origin(to) || strlen(to) >= sizeof r->url)
        err_set(e, ERR_UNAVAILABLE, "%s: redirect to no address http(s)://HOST/...", r->name);
    else if (strncasecmp(r->url, "https:", 6) == 0 && strncasecmp(to, "https:", 6))
        err_set(e, ERR_UNAVAILABLE, "%s: redirect from https to %s: refused", r->name,
                pull_shown(to, shown));
    else if (++r->hops > PULL_HOPS)
        err_set(e, ERR_UNAVAILABLE, "%s: more than %d redirects", r->name, PULL_HOPS);
    else {
        memcpy(r->url, to, strlen(to) + 1);
        return PULL_HOP;
    }
    return PULL_FAIL;
}

static enum pull_verdict failed(struct pull_request *r, CURLcode code, struct err *e)
{
    char shown[300];
    err_set(e, ERR_UNAVAILABLE, "%s: %s: %s", r->name, pull_shown(r->url, shown),
            *r->error ? r->error : curl_easy_strerror(code));
    switch (code) {
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_OUT_OF_MEMORY:
        return PULL_FAIL;
    default:
        return PULL_LATER;
    }
}

enum pull_verdict pull_judge(struct pull_request *r, CURLcode code, struct err *e)
{
    long status = 0;
    curl_off_t wait = 0;
    char shown[300];
    curl_easy_getinfo(r->h, CURLINFO_RESPONSE_CODE, &status);
    if (status >= 300 && status < 400 && status != 304)
        return hop(r, e);
    if (code != CURLE_OK && (status < 400 || status > 599))
        return failed(r, code, e);
    if (status >= 200 && status < 300)
        return PULL_OK;
    curl_easy_getinfo(r->h, CURLINFO_RETRY_AFTER, &wait);
    r->wait = (double)wait;
    int for_us = status == 401 || status == 403;
    err_set(e, status == 404 || status == 410 || for_us ? ERR_NOINPUT : ERR_UNAVAILABLE,
            "%s: %s: HTTP status %ld%s", r->name, pull_shown(r->url, shown), status,
            for_us ? " (a private or gated repository? HF_TOKEN must be a token that may read it)"
            : status == 404 ? " (no such repository, revision or file, or a private one)"
                            : "");
    if (r->wait > WAIT_MAX) {
        struct err why = *e;
        e->code = 0;
        err_set(e, why.code, "%s; it asks to wait %.0f s", why.msg, r->wait);
        return PULL_FAIL;
    }
    /* a signed address that ran out is refused with 403 behind a redirect: ask for a new one */
    return status == 408 || status == 429 || status >= 500 || (status == 403 && r->hops)
               ? PULL_LATER
               : PULL_FAIL;
}

/* ---- small answers ---- */

struct text {
    char *p;
    size_t n, cap;
};

static size_t keep(char *p, size_t one, size_t n, void *arg)
{
    struct text *t = arg;
    n *= one;
    if (n > TEXT_MAX - t->n)
        return 0;
    if (t->n + n + 1 > t->cap) {
        size_t cap = 2 * (t->n + n) + 4096;
        char *grown = realloc(t->p, cap);
        if (!grown)
            return 0;
        t->p = grown;
        t->cap = cap;
    }
    memcpy(t->p + t->n, p, n);
    t->n += n;
    t->p[t->n] = 0;
    return n;
}

static void nap(double s)
{
    struct timespec t = {(time_t)s, (long)((s - (double)(time_t)s) * 1e9)};
    nanosleep(&t, NULL);
}

/* A request with its redirects and retries; the body goes to t (NULL: HEAD). */
static int whole(struct pull_request *r, const char *url, const struct pull_opts *o, struct text *t,
                 struct err *e)
{
    enum pull_verdict v = PULL_LATER;
    struct err why = {0};
    char line[200];
    if (pull_begin(e) < 0)
        return e->code;
    if (strlen(url) >= sizeof r->url)
        return err_set(e, ERR_USAGE, "address too long");
    for (long fails = 0; fails <= o->retries;) {
        if (v == PULL_LATER) {
            memcpy(r->url, url, strlen(url) + 1);
            r->hops = 0;
        }
        if (pull_prepare(r, o, NULL, e) < 0)
            return e->code;
        if (t) {
            t->n = 0;
            curl_easy_setopt(r->h, CURLOPT_WRITEFUNCTION, keep);
            curl_easy_setopt(r->h, CURLOPT_WRITEDATA, t);
        } else {
            curl_easy_setopt(r->h, CURLOPT_NOBODY, 1L);
        }
        why.code = 0;
        v = pull_judge(r, curl_easy_perform(r->h), &why);
        if (v == PULL_OK)
            return 0;
        if (v == PULL_FAIL)
            break;
        if (v == PULL_LATER && ++fails <= o->retries) {
            double s = r->wait > 0 ? r->wait : pull_backoff(fails);
            snprintf(line, sizeof line, "%.150s; again in %.1f s", why.msg, s);
            if (o->say)
                o->say(o->arg, line);
            nap(s);
        }
    }
    return err_set(e, why.code, "%s", why.msg);
}

int pull_text(const char *url, const struct pull_opts *o, char **text, size_t *n, struct err *e)
{
    char shown[300];
    struct pull_request r = {.name = "hub"};
    struct text t = {0};
    int rc = whole(&r, url, o, &t, e);
    pull_request_free(&r);
    if (rc == 0 && !t.p && !(t.p = calloc(1, 1)))
        rc = err_set(e, ERR_NOMEM, "%s: out of memory", pull_shown(url, shown));
    if (rc < 0)
        free(t.p);
    else
        *text = t.p, *n = t.n;
    return rc;
}

int pull_head(const char *url, const struct pull_opts *o, struct pull_head *head, struct err *e)
{
    struct pull_request r = {.name = "file"};
    curl_off_t size = -1;
    int rc = whole(&r, url, o, NULL, e);
    *head = (struct pull_head){.size = PULL_UNKNOWN};
    if (rc == 0) {
        const char *tag = pull_header(&r, "ETag"), *date = pull_header(&r, "Last-Modified"),
                   *ranges = pull_header(&r, "Accept-Ranges");
        curl_easy_getinfo(r.h, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &size);
        if (size >= 0)
            head->size = (uint64_t)size;
        if (tag && strncmp(tag, "W/", 2)) /* a weak one is no promise of equal bytes */
            snprintf(head->validator, sizeof head->validator, "%s", tag);
        else if (date)
            snprintf(head->validator, sizeof head->validator, "%s", date);
        head->ranges = ranges && strcasecmp(ranges, "bytes") == 0;
    }
    pull_request_free(&r);
    return rc;
}

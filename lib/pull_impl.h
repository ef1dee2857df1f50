/* pull_impl.h - one request over HTTP: what pull.c and pull_http.c share */
#ifndef PULL_IMPL_H
#define PULL_IMPL_H
#include "pull.h"
#include <curl/curl.h>

enum { PULL_HOPS = 10, PULL_URL = 8192 };
enum pull_verdict {
    PULL_OK,    /* 2xx, all of it */
    PULL_HOP,   /* r->url is where to go on */
    PULL_LATER, /* again, after r->wait seconds if it is positive */
    PULL_FAIL   /* e says why */
};
struct pull_request {
    CURL *h;
    struct curl_slist *headers;
    char url[PULL_URL], error[CURL_ERROR_SIZE];
    const char *name; /* for messages */
    int hops;
    double wait;
};
/* A handle for r->url with a Range header (NULL: none) and the token where it may go. */
int pull_prepare(struct pull_request *r, const struct pull_opts *o, const char *range,
                 struct err *e);
/* What to do after a transfer that ended with code; PULL_LATER leaves its reason in e too. */
enum pull_verdict pull_judge(struct pull_request *r, CURLcode code, struct err *e);
void pull_request_free(struct pull_request *r);
/* The address without what may be secret in it (user, query). */
const char *pull_shown(const char *url, char buf[300]);
/* Text of a header of the last answer, or NULL. */
const char *pull_header(struct pull_request *r, const char *name);
int pull_begin(struct err *e); /* curl_global_init, once */
/* Seconds before attempt `fails` (1, 2, ...): 0.5, 1, 2 ... 30. */
double pull_backoff(long fails);
#endif

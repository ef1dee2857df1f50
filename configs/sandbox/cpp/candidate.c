/* candidate - inside the jail: answers calls on descriptor 3 with the function that was compiled in
 *
 * Nothing here is trusted: the code can change all of it.  It holds no test, no expected value, and
 * no descriptor on which a verdict could be written. */
#include "wire.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void apr_throw(struct apr_out *o, const char *type, const char *base, const char *text, int number)
{
    apr_start(o, 'E');
    apr_put_count(o, 't', 4);
    apr_put_blob(o, 's', type, strnlen(type, 100));
    apr_put_blob(o, 's', base, strlen(base));
    apr_put_blob(o, 's', text, strnlen(text, 300));
    apr_put_int(o, number > 0 && number < 1000 ? number : 0);
}

static void answer(const unsigned char *frame, unsigned long n, const char *name,
                   unsigned long n_args, apr_function *f, struct apr_out *o)
{
    struct apr_in in = {.p = frame + 9, .n = n - 9, .left = APR_MAX_ITEMS};
    unsigned long k;
    const char *called;
    apr_start(o, 'V');
    if (frame[8] == 'P') { /* are you there */
        apr_put_null(o);
        return;
    }
    apr_get_exactly(&in, 't', 2); /* (name, arguments) */
    called = apr_get_blob(&in, 's', &k);
    if (!called || k != strlen(name) || memcmp(called, name, k))
        apr_wrong(&in, "no such function");
    apr_get_exactly(&in, 't', n_args);
    if (!in.bad)
        f(&in, o);
    if (in.bad)
        apr_throw(o, "call", "Exception", in.bad, 0);
}

int apr_serve(const char *name, unsigned long n_args, apr_function *f)
{
    struct apr_out o = {0};
    unsigned long n;
    unsigned char *frame, nonce[8];
    while ((frame = apr_read(&n))) {
        memcpy(nonce, frame, 8);
        answer(frame, n, name, n_args, f, &o);
        if (o.bad) { /* what it returned cannot be sent */
            const char *why = o.bad;
            apr_start(&o, 'B');
            apr_put_blob(&o, 's', why, strlen(why));
        }
        if (o.bad || apr_write(&o, nonce) < 0)
            break;
    }
    _exit(0); /* the checker is gone: nothing that was registered to run at exit matters */
}

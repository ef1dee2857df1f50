/* jail.h - a process in namespaces of its own: how the sandbox's zygotes are started
 *
 * User, pid, mount, net, ipc and uts namespaces; a root of read-only /usr and an empty /tmp; no
 * descriptors but the ones it needs; seccomp programs, half of them loaded by the zygote, half by its
 * jobs.  What the host does not give is left out and missing in the mask, which every verdict shows. */
#ifndef JAIL_H
#define JAIL_H
#include "err.h"
#include "jail_request.h"
#include "json.h"
#include <sys/types.h>

enum {
    JAIL_USERNS = 1,
    JAIL_PIDNS = 2,
    JAIL_MNTNS = 4,
    JAIL_NETNS = 8,
    JAIL_IPCNS = 16,
    JAIL_UTSNS = 32,
    JAIL_SECCOMP = 64,
    JAIL_RLIMITS = 128,
    JAIL_NNP = 256,        /* no_new_privs */
    JAIL_UID = 512,        /* a user of its own for each slot */
    JAIL_LANDLOCK = 1024,  /* known once the zygote is ready, as is the next */
    JAIL_PIDMAX = 2048,    /* a limit of processes for each pid namespace (Linux 6.14) */
    JAIL_CG_MEMORY = 4096, /* of the whole tree: control groups, either version */
    JAIL_CG_PIDS = 8192,
    JAIL_CG_CPU = 16384,
    JAIL_ALL = 32767
};

struct jail {
    pid_t pid;
    int pidfd, ctl, err; /* control socket (SEQPACKET), memory file with its stderr */
    unsigned enforced;
    char python[32]; /* version, once ready */
};
struct jail_opts {
    int range;             /* 0, 1, ...: which users its jobs get (jails never share users) */
    int candidate;         /* its jobs run code that nobody trusts */
    const char *script;    /* of /usr/bin/python3 */
    const char *sandbox;   /* a folder of ours that is shown, read-only, as /sandbox; or NULL */
    const char *hidden[2]; /* folders that are empty inside, wherever they are shown; or NULL */
    int packages;          /* show Python's packages that are installed beside its library */
    unsigned allow;        /* mechanisms outside are not tried */
};
/* ERR_UNAVAILABLE without /usr/bin/python3, ERR_OS else. */
int jail_start(struct jail *j, const struct jail_opts *o, struct err *e);
void jail_stop(struct jail *j); /* kills it and everything in it, and waits */
/* The last line that it wrote to stderr, into buf. */
const char *jail_last_words(const struct jail *j, char *buf, size_t size);

void jail_names(struct json_out *j, unsigned mask); /* as a JSON array */
int jail_parse(const char *list, unsigned *mask,
               struct err *e); /* "pidns,seccomp", "all", "none"; ERR_USAGE */

/* The seccomp programs of a zygote and of its jobs in a memory file, each after its length (u32; 0: none).
 * alone: there is no pid namespace, so no process may be made and no signal sent. A descriptor, or
 * negative. */
int jail_filter(int none, int alone, struct err *e);
#endif

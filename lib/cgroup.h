/* cgroup.h - control groups for the jobs of a sandbox: memory, processes and CPU time of a whole tree
 *
 * Where the host lets us make groups (version 2 with the controllers delegated, else version 1), every slot gets
 * one and keeps it from job to job.  A host that does not is no error: `held` is empty then. */
#ifndef CGROUP_H
#define CGROUP_H
#include "err.h"
#include "jail_request.h"

struct cgroup {
    unsigned held; /* JAIL_CG_* mask (jail.h) */
    int version;   /* 2, 1, or 0 = none */
    int n_slot;
    char dir[JAIL_CGROUPS][512]; /* ours of memory, pids, cpu, or ""; version 2 has one for all */
    char leaf[512];              /* version 2: where this process had to move, or "" */
    struct cgroup_slot {
        long memory_mib, processes; /* limits that are set; 0 = none yet */
        int oom, cpu;               /* files that are read again and again, or -1 */
    } slot[JAIL_SLOTS];
};
/* Make groups under the one that this process is in; `allow`: JAIL_CG_* that may be used. Groups that a killed
 * process of ours left behind are removed. proc: where cgroup and mountinfo of a process are,
 * "/proc/self" (tests bring their own). */
void cgroup_open(struct cgroup *g, int n_slot, unsigned allow, const char *proc);
void cgroup_close(struct cgroup *g);
/* cgroup.procs of a slot, open for writing: what a job writes itself into. How many; the caller closes. */
int cgroup_procs(const struct cgroup *g, int slot, int fd[JAIL_CGROUPS]);
/* Limits of a slot for its next job, written only if they change. ERR_OS if the group is gone. */
int cgroup_limit(struct cgroup *g, int slot, long memory_mib, long processes, struct err *e);
long cgroup_oom_kills(const struct cgroup *g, int slot); /* so far; 0 if unknown */
double cgroup_cpu(const struct cgroup *g, int slot);     /* seconds so far; 0 if unknown */
#endif

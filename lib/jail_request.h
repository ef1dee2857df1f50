/* jail_request.h - what the supervisor and a zygote say to each other on the control socket
 *
 * SOCK_SEQPACKET, one struct a message, descriptors beside it (SCM_RIGHTS).  Shared by lib and the
 * zygote's extension module (lib/zygote), so that both are always of one mind. */
#ifndef JAIL_REQUEST_H
#define JAIL_REQUEST_H
#include <stdint.h>

enum {
    JAIL_SLOTS = 64, /* the most jobs at once; each has a user of its own */
    JAIL_CGROUPS = 3,
    JAIL_MAX_FDS = 6
};
enum jail_request_kind {
    JAIL_JOB = 1,   /* start a process; descriptors as `fds` says */
    JAIL_CGROUP = 2 /* from now on jobs of `slot` enter the cgroups whose cgroup.procs come along */
};
/* Descriptors of a job, in this order in the message, and where the job finds them. */
enum {
    JAIL_FD_PAYLOAD = 1, /* 4: what to run */
    JAIL_FD_PEER = 2,    /* 3: the socket between candidate and checker */
    JAIL_FD_OUTPUT = 4,  /* 1 and 2; else /dev/null */
    JAIL_FD_REPORT = 8,  /* 5: where a verdict is told */
    JAIL_FD_INPUT = 16   /* 0; else /dev/null */
};
struct jail_request {
    uint32_t kind, slot, fds;
    uint32_t cpu_s;      /* of each process; 0 = no limit of its own */
    uint32_t memory_mib; /* address space of each process; 0 = no limit of its own */
    uint32_t processes;  /* and threads */
    uint32_t file_mib;   /* of one file */
    uint32_t files;      /* open descriptors */
    uint32_t tmp_mib;    /* private /tmp; 0 = none */
};
enum jail_event {
    JAIL_STARTED = 1,
    JAIL_EXITED = 2,
    JAIL_READY = 3,
    JAIL_FAILED = 4 /* the process of a job could not enter its jail; EXITED follows */
};
struct jail_message {
    uint32_t event, slot;
    int32_t status;  /* EXITED: of wait(2) */
    uint32_t held;   /* READY: mechanisms that only the zygote knows (JAIL_LANDLOCK, JAIL_PIDMAX) */
    uint32_t rss_kb; /* EXITED: of the process and of what it waited for, and so the times */
    uint32_t pad;
    uint64_t user_us, system_us;
    char text[128]; /* READY: the version of Python; FAILED: why */
};
/* How a job's process ends when it is not the program that ends it. */
enum { JAIL_EXIT_ENTER = 120, JAIL_EXIT_MEMORY = 121, JAIL_EXIT_ROLE = 122 };
#endif

/* ranks.h - processes that train one model together: how they meet, sums over all, shares of the parameters
 *
 * Each of n processes has a number from 0, all data and weights, and a part of every batch.  Gradients are summed so
 * that rank i has the sum over its share of the parameters (reduce-scatter), in the order of the ranks whatever comes
 * first; it alone has that share's moments and steps with them (ZeRO-1, Rajbhandari et al. 2020, arXiv:1910.02054);
 * then every share goes to all (all-gather).
 *
 * All meet at rank 0: at HOST:PORT, or on one host through a file in which it says where it listens.  A greeting
 * carries the run's key, so that two runs cannot mix; every pair has a TCP connection.  Who dies closes its
 * connections, which the others report as ERR_UNAVAILABLE with its number, as they do when one says nothing for as
 * long as they wait. */
#ifndef RANKS_H
#define RANKS_H
#include "params.h"

enum { RANKS_MOST = 64 };
struct ranks {
    int rank, n;
    int wait;           /* seconds */
    int fd[RANKS_MOST]; /* to each other one; -1: none */
    float *buf;         /* (n + 1, RANKS_CHUNK) */
};

/* rank and n alone; enough for optim_begin. */
void ranks_init(struct ranks *r, int rank, int n, int wait);
/* meet: "HOST:PORT" or a file; key: 64 characters.  ERR_UNAVAILABLE if somebody does not come; ERR_USAGE if his number,
 * their number or his key is not what it should be. */
int ranks_join(struct ranks *r, const char *meet, const char *key, struct err *e);
void ranks_leave(struct ranks *r);

int ranks_send(struct ranks *r, int to, const void *p, size_t n, struct err *e);
int ranks_recv(struct ranks *r, int from, void *p, size_t n, struct err *e);
/* x[0..n) become the sums over all, added in the order of the ranks: the same bits everywhere. */
int ranks_sum(struct ranks *r, double *x, int n, struct err *e);
/* Of p's gradients this rank's share gets the sum over all; then of p's values all get everyone's share. */
int ranks_reduce(struct ranks *r, struct params *p, struct err *e);
int ranks_spread(struct ranks *r, struct params *p, struct err *e);
#endif

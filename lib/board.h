/* board.h - every score under runs/, grouped so that only what can be compared is ranked; history
 *
 * In DIR/RECIPE@MODEL: .jsonl files whose first record is score/1; dates and digests come from their
 * sidecars.  Scores are ranked within one benchmark, metric, number of tasks and of samples, and level
 * of their intervals. */
#ifndef BOARD_H
#define BOARD_H
#include "err.h"
#include <stdio.h>

struct board_entry {
    char *recipe, *model, *run, *bench, *metric;
    char *date, *version, *host; /* "" = not known */
    double value, ci[2], level;
    long passed, n_task, n_sample;
    /* of the score's file, of the verdicts it was made of, of the weights they come from; "" */
    char score_sha256[65], input_sha256[65], weights_sha256[65];
    int group; /* entries of one group are neighbours */
    int rank;  /* in its group, 1 = the highest score; equal scores share it */
    int near;  /* its interval reaches into that of the group's highest: not told apart */
};
struct board {
    struct board_entry *v, *past; /* now: ranked; past: the history, in the order of its file */
    int n, n_past;
    int n_group;
    char **complaint; /* "path:line: ..." of each file left out */
    int n_complaint;
    int damage; /* the first code of a score that cannot be read; 0 = all could */
};
/* All scores under dir. ERR_NOINPUT if it cannot be read. A damaged score is a complaint, and so is
 * a .jsonl file whose first line is no record; damage is for those that are scores. */
int board_read(struct board *b, const char *dir, struct err *e);
void board_free(struct board *b);
/* The history of a file of history/1 records. A missing file is empty if `may_lack`. */
int board_history(struct board *b, const char *path, int may_lack, struct err *e);
/* Append what the history does not have yet (a line a score, never a change), then read it all.
 * *added: new lines. A torn last line of a killed writer is cut off; ERR_DATA, and nothing changed, if
 * the file is anything but a history; ERR_LOCKED if another writes. */
int board_remember(struct board *b, const char *path, int *added, struct err *e);

void board_markdown(const struct board *b, const char *title, FILE *out);
int board_json(const struct board *b, FILE *out,
               struct err *e); /* leaderboard/1, a line an entry */
int board_html(const struct board *b, const char *title, FILE *out, struct err *e);
/* Entries of the past that continue entry i of it: next index, or -1. */
int board_next(const struct board *b, int i);
/* i is the first of at least two results of one recipe, model, run, benchmark, metric and n. */
int board_series(const struct board *b, int i);
#endif

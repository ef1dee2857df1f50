/* score_text.h - scores as a table for people, and as columns for other programs
 *
 * Everything goes to a stream of the caller's, who asks it for errors. */
#ifndef SCORE_TEXT_H
#define SCORE_TEXT_H
#include "score.h"
#include <stdio.h>

void score_table_head(FILE *out, double level, int ceilings);
void score_table_row(FILE *out, const struct score_set *s, const struct score *v);
/* What is below the table: verdicts, flaky tasks, tasks without a solution (b knows why, or NULL);
 * ten names of each, or all. */
void score_about(FILE *out, const struct score_set *s, const struct score *v, const struct bench *b,
                 int all);
/* Names after a heading, in lines of up to 100 columns: {out, head} to begin with. */
struct score_list {
    FILE *out;
    const char *head; /* at most 12 characters */
    int column;       /* 0 = nothing yet */
};
void score_list_add(struct score_list *l, const char *name, const char *more);
void score_list_end(struct score_list *l); /* ends the line, if there is one */
void score_tsv_head(FILE *out);
void score_tsv_row(FILE *out, const struct score_set *s, const struct score *v);
#endif

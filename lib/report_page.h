/* report_page.h - what the files of the HTML report share */
#ifndef REPORT_PAGE_H
#define REPORT_PAGE_H
#include "report.h"
#include <stdio.h>

/* "wrong_answer" to "wrong answer" */
void report_verdict_words(const char *verdict, char *words, size_t size);

/* The grid of tasks with its key, filter and the empty dialog of a task. */
void report_grid(FILE *f, const struct report *r);
/* Bytes to which each text is cut so that the page stays within REPORT_PAGE; *cut: how many are. */
size_t report_text_limit(const struct report *r, long *cut);
int report_grid_data(FILE *f, const struct report *r, size_t limit, struct err *e);

/* Curves of all training runs. */
int report_training_part(FILE *f, const struct report *r, struct err *e);
/* Tokens and times by benchmark and run. */
int report_costs(FILE *f, const struct report *r, struct err *e);
/* Inputs, sidecars and what they tell about the machine and the judge. */
int report_receipts(FILE *f, const struct report *r, struct err *e);
#endif

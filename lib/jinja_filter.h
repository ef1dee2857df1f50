/* jinja_filter.h - the filters of lists, for the table of all filters */
#ifndef JINJA_FILTER_H
#define JINJA_FILTER_H
#include "jinja_impl.h"

extern const struct jfilter jfilter_of_lists[]; /* ends with a row without name */
#endif

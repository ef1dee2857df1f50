/* recipe.h - a recipe (recipe.5): loaded, checked against the tools' own option tables, laid out as
 * jobs
 *
 * recipe_load reads the YAML, asks every tool for its options, resolves inputs, orders the stages
 * and checks everything that can be known before a run.  recipe_jobs repeats the foreach stages and
 * works out paths, commands and arguments.  Everything belongs to the recipe until recipe_free.
 * Errors of the recipe are ERR_CONFIG with file:line:col. */
#ifndef RECIPE_H
#define RECIPE_H
#include "err.h"
#include "sums.h"
#include "tooltab.h"
#include "yaml.h"

struct recipe_ask { /* what the user chose */
    const char *path;
    const char *dir;   /* where artifacts go; NULL = runs/RECIPE@MODEL */
    const char *model; /* NULL = the recipe's own */
    const char *bench; /* "a,b"; NULL = the recipe's own */
    int digest;        /* read outside files: their sha256 is part of the arguments */
    int strict;        /* so is the sha256 of the tools */
};

struct recipe_list {
    const char **v;
    int n;
};
enum recipe_ref_kind { REF_STAGE, REF_MODEL, REF_FILE, REF_CATALOG };
struct recipe_ref { /* one input of a stage */
    enum recipe_ref_kind kind;
    const struct yaml *at;
    const char *opt;  /* long option that takes it; NULL = operand */
    int stage;        /* REF_STAGE: index */
    const char *side; /* REF_STAGE: option of a secondary output, or NULL */
    const char *text; /* REF_FILE: path, REF_CATALOG: name; $variables not yet replaced */
};
struct recipe_set { /* one given option */
    const struct toolopt *opt;
    const char **v; /* one value; several for a list */
    int n;
};
struct recipe_out { /* a secondary output */
    const char *opt, *ext;
};
struct recipe_kind { /* facts of a tool that its option table does not tell */
    const char *tool;
    int phase;        /* in the golden order; 0 = does not change weights */
    const char *ext;  /* of the output, with its dot */
    const char *file; /* the output is a folder: the file in it that is written last */
};
struct recipe_stage {
    const char *name, *doc, *uses;
    const struct yaml *node;
    const struct tooltab *tool;
    const struct recipe_kind *kind;
    const char *var; /* of foreach, or NULL */
    struct recipe_list each;
    struct recipe_ref *ref;
    int n_ref;
    struct recipe_set *set;
    int n_set;
    struct recipe_out out[8];
    int n_out;
    int show;   /* print the output when it is done */
    int mark;   /* of the search for cycles */
    int warned; /* of the search for bad orders */
    int suffix; /* depends on the whole list of benchmarks, which is not the recipe's own */
    int first_job, n_job;
};

struct recipe_model { /* configs/models/NAME.yaml */
    const char *name, *config, *source, *format;
    const char *path; /* the file or folder, once found; under dir if it is fetched */
    int fetched;      /* source is hf:// */
    const char *sha256;
};
struct recipe_job {                   /* one command */
    const struct recipe_stage *stage; /* NULL: the fetch of the model */
    const char *name, *value;         /* value of the foreach variable, or NULL */
    const char *path;                 /* the output as other jobs name it */
    const char *target;               /* the file that make compares */
    const char *to;                   /* NULL, or where stdout goes */
    const char *side[8];              /* secondary outputs */
    struct recipe_list deps;          /* targets of other jobs */
    const char *command;              /* shell words, without a redirection */
    const char *args;                 /* canonical JSON */
};
struct recipe {
    struct yaml_doc doc;
    const char *name, *dir;
    struct recipe_ask ask;
    struct recipe_model model;
    struct recipe_list bench;
    int bench_asked; /* and other than the recipe's own */
    struct recipe_stage *stage;
    int n_stage;
    int *order; /* stage indices, inputs first */
    struct tooltab *tab;
    int n_tab;
    struct recipe_job *job;
    int n_job;
    struct recipe_list warn; /* bad orders with their reasons */
    struct sums sums;        /* digests of files outside */
    void *kept;
    size_t kept_bytes;
    int nomem; /* no memory, or more than a recipe may take */
};
int recipe_load(struct recipe *r, const struct recipe_ask *ask, struct err *e);
/* Paths, commands and argument files. Reads every outside file whose digest is not remembered in
 * DIR/inputs.sum: ERR_DATA if one is not what the catalog says. */
int recipe_jobs(struct recipe *r, struct err *e);
void recipe_free(struct recipe *r);

/* Texts that live as long as the recipe; "" and r->nomem if memory ran out. */
const char *recipe_keep(struct recipe *r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
const char *recipe_var(const char *s, size_t *n); /* the next $word and its length, or NULL */
int recipe_push(struct recipe *r, struct recipe_list *l, const char *text);
#endif

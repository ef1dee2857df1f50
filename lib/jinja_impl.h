/* jinja_impl.h - what the files of the template interpreter share: values, syntax tree, evaluation
 *
 * Values are 16 bytes and live in an arena that ends with the rendering; strings know which of their bytes
 * came from outside.  Errors stick: the first one sets x->failed, and everything after it does as
 * little as it can until the top returns. */
#ifndef JINJA_IMPL_H
#define JINJA_IMPL_H
#include "jinja.h"

/* ---- memory ---- */
struct jarena {
    struct jblock *head;
    size_t used, limit;
};
void *jarena_alloc(struct jarena *a, size_t n); /* zeroed; NULL at the limit */
void jarena_free(struct jarena *a);

/* ---- values ---- */
enum jtype {
    J_UNDEF,
    J_NONE,
    J_BOOL,
    J_INT,
    J_FLOAT,
    J_STR,
    J_LIST,
    J_TUPLE,
    J_DICT,
    J_VIEW, /* dict_items, range and the like: can be iterated, over and over */
    J_GEN,  /* what map and select give: can be iterated once, and is always true */
    J_NS,   /* namespace() */
    J_MACRO,
    J_FUNC,
    J_METHOD,
    J_LOOP
};
struct jstr {
    const char *s;
    const uint8_t *m; /* (n) marks; NULL when all bytes have `mark` */
    size_t n;
    uint8_t mark, markup; /* markup: went through |safe, which changes what + does */
};
struct jv {
    enum jtype t;
    union {
        int64_t i; /* bool too */
        double f;
        struct jstr *s;
        struct jlist *l;
        struct jdict *d;
        struct jmacro *macro;
        struct jmethod *method;
        struct jloop *loop;
        const struct jfunc *func;
        const char *what; /* J_UNDEF: what is missing, or NULL */
    } u;
};
struct jlist {
    struct jv *v;
    size_t n, cap, at; /* at: how far a generator is used up */
    const char *kind;  /* of a view: "dict_keys" */
};
struct jdict {
    struct jv *key, *val;
    uint32_t *slot; /* (n_slot) index + 1, when there are many */
    size_t n, cap, n_slot;
};
struct jmacro {
    const struct jnode *node;
    struct jframe *frame; /* where it was defined */
};
struct jmethod {
    const struct jmethod_row *row;
    struct jv self;
};
struct jloop {
    struct jlist *items;
    size_t i;
    struct jv changed;
};
struct jargs {
    struct jv *v; /* (n) by place, then (n_kw) by name */
    const char **name;
    size_t n, n_kw;
};

/* ---- syntax tree ---- */
enum jkind {
    /* expressions */
    N_CONST,
    N_NAME,
    N_LIST,
    N_TUPLE,
    N_DICT,
    N_ATTR,
    N_ITEM,
    N_SLICE,
    N_CALL,
    N_FILTER,
    N_TEST,
    N_BIN,
    N_CONCAT,
    N_CMP,
    N_AND,
    N_OR,
    N_NOT,
    N_NEG,
    N_POS,
    N_COND,
    /* statements */
    N_DATA,
    N_OUT,
    N_IF,
    N_FOR,
    N_SET,
    N_SETBLOCK,
    N_MACRO,
    N_CALLBLOCK,
    N_FILTERBLOCK,
    N_WITH,
    N_SCOPE,
    N_BREAK,
    N_CONTINUE
};
struct jnode {
    enum jkind kind;
    int op, line;
    const char *name; /* interned in the template */
    const void *row;  /* of a filter, a test */
    struct jv val;
    struct jnode *a, *b, *c;
    struct jnode *list, *alt; /* kids, linked by next; the else part */
    struct jnode *next;
};
struct jname {
    struct jname *next;
    int assigned; /* by set, for, a macro's head: it may hold a macro */
    int called;   /* the first line that does */
    int read;     /* as a variable */
    char s[];
};
enum { J_NAMES = 256 };
struct jinja {
    struct jarena a;
    struct jname *name[J_NAMES]; /* by the sum of their characters */
    int n_name;
    const char *loop, *caller, *varargs, *kwargs; /* interned */
    struct jnode *body;
    char where[200];
};

/* ---- tokens ---- */
enum jtok_kind {
    T_DATA,
    T_VBEGIN,
    T_VEND,
    T_BBEGIN,
    T_BEND,
    T_NAME,
    T_STR,
    T_INT,
    T_FLOAT,
    T_OP,
    T_EOF
};
struct jtok {
    enum jtok_kind kind;
    int line;
    int op;        /* T_OP: its characters, the first one highest */
    const char *s; /* T_DATA, T_NAME, T_STR: bytes in the arena */
    size_t n;
    int64_t i;
    double f;
};
#define J2(a, b) ((a) << 8 | (b)) /* the op of two characters */
struct jtoks {
    struct jtok *v;
    size_t n, cap;
};
int jinja_lex(struct jinja *t, const char *text, size_t n, struct jtoks *out, struct err *e);

struct jparser {
    struct jinja *t;
    struct jtok *tok; /* current */
    struct err *e;
    int failed, depth;
    int loops;  /* around this place, within the macro */
    int macros; /* seen so far */
    int seen;   /* JP_VARARGS, JP_KWARGS, JP_CALLER: what the macro at hand speaks of */
};
enum { JP_VARARGS = 1, JP_KWARGS = 2, JP_CALLER = 4 };
struct jnode *jparse_node(struct jparser *p, enum jkind kind, int line);
int jparse_fail(struct jparser *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int jparse_is_op(const struct jparser *p, int op);
int jparse_is_name(const struct jparser *p, const char *name);
int jparse_take_op(struct jparser *p, int op);
int jparse_take_name(struct jparser *p, const char *name);
void jparse_expect_op(struct jparser *p, int op);
const char *jparse_name(struct jparser *p); /* an identifier, interned; NULL */
struct jname *jparse_intern(struct jparser *p, const char *s, size_t n);
enum { JP_NO_COND = 1, JP_SIMPLE = 2, JP_NS = 4, JP_PARENS = 8 };
struct jnode *jparse_expr(struct jparser *p, int flags);
struct jnode *jparse_tuple(struct jparser *p, int flags);
struct jnode *jparse_filters(struct jparser *p, struct jnode *on); /* [NAME] { "|" NAME } */
/* One level deeper: 0, or failed. Those who loop put p->depth back. */
int jparse_enter(struct jparser *p);
struct jnode *jparse_binary(struct jparser *p, enum jkind kind, int op, struct jnode *a,
                            struct jnode *b);
struct jnode *jparse_filter_expr(struct jparser *p,
                                 struct jnode *on); /* { |filter, is test, (call) } */
struct jnode *jparse_postfix(struct jparser *p, struct jnode *on);
struct jnode *jparse_primary(struct jparser *p, int flags);
void jparse_args(struct jparser *p, struct jnode *call);

/* ---- evaluation ---- */
struct jframe {
    struct jframe *up;
    struct jvar {
        const char *name; /* interned */
        struct jv v;
    } * v;
    size_t n, cap;
};
struct jbuf { /* a text that grows, with its marks */
    char *s;
    uint8_t *m;
    size_t n, cap;
    uint8_t seen; /* 1 = trusted bytes, 2 = bytes from outside */
};
struct jinja_vars {
    struct jarena a;
    struct jdict *vars;
    struct tm now;
    int has_now;
    long steps; /* at most */
};
struct jx {
    struct jarena *a;
    const struct jinja *t;
    struct jinja_vars *vars;
    struct jframe *f;
    struct jbuf *out;
    struct jv block; /* what a filter without operand works on */
    struct err *e;
    long steps, most;
    int failed, depth, line, stop; /* stop: 1 = break, 2 = continue */
};
/* Fail with "WHERE:LINE: ...". Returns undefined, so that functions can end with it. */
struct jv jx_fail(struct jx *x, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int jx_spend(struct jx *x, size_t bytes); /* 0, or failed: too many steps */
int jx_enter(struct jx *x); /* 0, or failed: too deep; jx_leave after it in any case */
void jx_leave(struct jx *x);
void *jx_alloc(struct jx *x, size_t n);

static inline struct jv j_undef(const char *what)
{
    return (struct jv){J_UNDEF, {.what = what}};
}
static inline struct jv j_none(void)
{
    return (struct jv){J_NONE, {0}};
}
static inline struct jv j_bool(int on)
{
    return (struct jv){J_BOOL, {.i = on != 0}};
}
static inline struct jv j_int(int64_t i)
{
    return (struct jv){J_INT, {.i = i}};
}
static inline struct jv j_float(double f)
{
    return (struct jv){J_FLOAT, {.f = f}};
}
struct jv j_str(struct jx *x, const char *s, size_t n, int mark); /* shares the bytes */
struct jv j_text(struct jx *x, const char *s);                    /* of a literal here */
struct jv j_sub(struct jx *x, const struct jstr *s, size_t at, size_t n);
struct jv j_list(struct jx *x, enum jtype t, struct jlist **l);
int jlist_add(struct jx *x, struct jlist *l, struct jv v);
struct jv j_dict(struct jx *x, struct jdict **d);
int jdict_put(struct jx *x, struct jdict *d, struct jv key, struct jv val);
const struct jv *jdict_get(struct jx *x, const struct jdict *d, struct jv key);
const struct jv *jdict_find(const struct jdict *d, const char *key);

void jbuf_add(struct jx *x, struct jbuf *b, const char *s, size_t n, int mark);
void jbuf_sub(struct jx *x, struct jbuf *b, const struct jstr *s, size_t at, size_t n);
void jbuf_str(struct jx *x, struct jbuf *b, const struct jstr *s);
struct jv jbuf_take(struct jx *x, struct jbuf *b);

const char *j_type(struct jv v); /* as Python names it */
int j_true(struct jv v);
int j_number(struct jv v); /* int, float, bool */
double j_double(struct jv v);
int j_is_str(struct jv v, const char *s);
int j_eq(struct jx *x, struct jv a, struct jv b);
int j_cmp(struct jx *x, struct jv a, struct jv b); /* fails for what has no order */
int j_in(struct jx *x, struct jv item, struct jv of);
/* A list of what v gives when iterated (not to be changed); NULL and failed if it cannot be. */
struct jlist *j_iter(struct jx *x, struct jv v);
int64_t j_len(struct jx *x, struct jv v); /* -1 and failed */
size_t j_points(const struct jstr *s);    /* code points */
size_t j_offset(const struct jstr *s, size_t point);
size_t j_find(const struct jstr *s, size_t from, const struct jstr *what); /* s->n + 1: not there */

/* Python's str and repr; tojson. */
void jprint_str(struct jx *x, struct jbuf *b, struct jv v);
void jprint_repr(struct jx *x, struct jbuf *b, struct jv v);
struct jv jprint_to_str(struct jx *x, struct jv v); /* str(v); a string stays itself */
struct jjson {
    int ascii, indent, sort; /* indent < 0: one line */
    struct jv item_sep, key_sep;
};
void jprint_json(struct jx *x, struct jbuf *b, struct jv v, const struct jjson *o, int level);
size_t jprint_float(char *to, size_t n, double f);
struct jv jread_json(struct jx *x, const char *s, size_t n, int mark);

/* Attribute and item access as the sandbox has it, calls. */
struct jv jget_attr(struct jx *x, struct jv of, const char *name);
struct jv jget_item(struct jx *x, struct jv of, struct jv key);
struct jv jget_slice(struct jx *x, struct jv of, struct jv from, struct jv to, struct jv step);
struct jv jcall(struct jx *x, struct jv f, const struct jargs *args);
struct jv jcall_macro(struct jx *x, const struct jmacro *m, const struct jargs *args,
                      struct jv caller);
struct jv jeval(struct jx *x, const struct jnode *n);
struct jv jeval_bin(struct jx *x, int op, struct jv a, struct jv b);
void jrun(struct jx *x, const struct jnode *list);
/* Made if need be; NULL and failed. The search takes steps. */
struct jvar *jframe_var(struct jx *x, struct jframe *f, const char *name);
struct jframe *jframe_new(struct jx *x, struct jframe *up);
int jeval_args(struct jx *x, const struct jnode *call, struct jargs *args);
struct jv jloop_attr(struct jx *x, struct jloop *l, const char *name);

/* Filters, tests, methods, functions: rows with the names of their parameters, "a,b". `args` holds a value
 * for each parameter, J_UNDEF with what = j_absent where none was given; the parser checks names and
 * numbers where it sees them. */
extern const char j_absent[];
static inline int j_given(struct jv v)
{
    return v.t != J_UNDEF || v.u.what != j_absent;
}
enum { J_PARAMS = 6 };
struct jfilter {
    const char *name, *params;
    struct jv (*f)(struct jx *x, struct jv v, const struct jv *arg);
    int needs; /* parameters without default */
    struct jv (*raw)(struct jx *x, struct jv v, const struct jargs *args); /* instead of f */
};
struct jtest {
    const char *name, *params;
    int (*f)(struct jx *x, struct jv v, struct jv arg);
};
struct jmethod_row {
    const char *name;
    unsigned types; /* 1 << J_STR ... */
    const char *params;
    struct jv (*f)(struct jx *x, struct jv self, const struct jv *arg);
    int needs;
    struct jv (*raw)(struct jx *x, struct jv self, const struct jargs *args); /* instead of f */
};
struct jfunc {
    const char *name, *params;
    struct jv (*f)(struct jx *x, const struct jargs *args);
};
const struct jfilter *jfilter_find(const char *name, size_t n);
const struct jtest *jtest_find(const char *name, size_t n);
const struct jfunc *jfunc_find(const char *name, size_t n);
const struct jmethod_row *jmethod_find(const char *name, int type); /* type -1: of any */
struct jv jfilter_apply(struct jx *x, const struct jfilter *f, struct jv v,
                        const struct jargs *args);
int jtest_apply(struct jx *x, const struct jtest *t, struct jv v, const struct jargs *args);
/* Put arguments where the parameters want them. 0, or failed: too many, unknown, missing. */
int jbind(struct jx *x, const char *what, const char *params, int needs, const struct jargs *args,
          struct jv *to);
int jparam_count(const char *params);
int jparam_index(const char *params, const char *name); /* -1 */

/* Parts of filters that methods share. */
struct jv jtext_strip(struct jx *x, const struct jstr *s, struct jv chars, int sides);
struct jv jtext_case(struct jx *x, const struct jstr *s, int how); /* 'u', 'l', 'c', 't' */
struct jv jtext_replace(struct jx *x, const struct jstr *s, const struct jstr *from,
                        const struct jstr *to, int64_t count);
struct jv jtext_split(struct jx *x, const struct jstr *s, struct jv sep, int64_t max, int right);
struct jv jtext_join(struct jx *x, const struct jstr *sep, const struct jlist *l, int strict);
struct jv jtext_format(struct jx *x, const struct jstr *f, const struct jargs *args);
int jtext_is_space(const char *s, size_t n,
                   size_t *len); /* Python's isspace of the character at s */
struct jv jdict_list(struct jx *x, const struct jdict *d, int what, enum jtype t); /* 'k' 'v' 'i' */
struct jlist *jsorted(struct jx *x, const struct jlist *l, struct jv by, int reverse, int fold);
struct jv jattr_path(struct jx *x, struct jv v, struct jv path);
#endif

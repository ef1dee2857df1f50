/* jinja_test - the tests of templates: "x is string" */
#include "jinja_impl.h"
#include <math.h>
#include <string.h>
#include <utf8proc.h>

#define TEST(name)                                                                                 \
    static int test_##name(struct jx *x, struct jv v, struct jv arg)                               \
    {                                                                                              \
        (void)x;                                                                                   \
        (void)arg;                                                                                 \
        return
#define END                                                                                        \
    ;                                                                                              \
    }
// clang-format off
TEST(boolean) v.t == J_BOOL END
TEST(callable) v.t == J_UNDEF || v.t == J_MACRO || v.t == J_FUNC || v.t == J_METHOD END
TEST(defined) v.t != J_UNDEF END
TEST(undefined) v.t == J_UNDEF END
TEST(none) v.t == J_NONE END
TEST(true) v.t == J_BOOL && v.u.i END
TEST(false) v.t == J_BOOL && !v.u.i END
TEST(integer) v.t == J_INT END
TEST(float) v.t == J_FLOAT END
TEST(number) j_number(v) END
TEST(string) v.t == J_STR END
TEST(mapping) v.t == J_DICT END
TEST(iterable) v.t == J_UNDEF || (v.t >= J_STR && v.t <= J_GEN) || v.t == J_LOOP END
TEST(sequence) v.t == J_UNDEF || (v.t >= J_STR && v.t <= J_DICT) || (v.t == J_VIEW && !strcmp(v.u.l->kind, "range")) END
TEST(eq) j_eq(x, v, arg) END
TEST(ne) !j_eq(x, v, arg) END
TEST(lt) j_cmp(x, v, arg) < 0 END
TEST(le) j_cmp(x, v, arg) <= 0 END
TEST(gt) j_cmp(x, v, arg) > 0 END
TEST(ge) j_cmp(x, v, arg) >= 0 END
TEST(in) j_in(x, v, arg) END
        // clang-format on

        /* Identity: of constants their value, of all else the object. */
        static int test_sameas(struct jx * x, struct jv v, struct jv arg)
{
    if (v.t != arg.t)
        return 0;
    return v.t == J_NONE || v.t == J_BOOL || v.t == J_INT || v.t == J_FLOAT || v.t == J_STR
               ? j_eq(x, v, arg)
               : v.u.l == arg.u.l;
}

static int divisible(struct jx *x, struct jv v, struct jv by)
{
    struct jv rest = jeval_bin(x, '%', v, by);
    return !x->failed && j_number(rest) && j_double(rest) == 0;
}

static int test_divisibleby(struct jx *x, struct jv v, struct jv arg)
{
    return divisible(x, v, arg);
}

static int test_even(struct jx *x, struct jv v, struct jv arg)
{
    (void)arg;
    return divisible(x, v, j_int(2));
}

static int test_odd(struct jx *x, struct jv v, struct jv arg)
{
    (void)arg;
    struct jv rest = jeval_bin(x, '%', v, j_int(2));
    return !x->failed && j_number(rest) && j_double(rest) == 1;
}

/* Letters with case are there, and all of them have this one. */
static int all_case(struct jx *x, struct jv v, utf8proc_category_t want, utf8proc_category_t not )
{
    struct jv text = jprint_to_str(x, v);
    int any = 0;
    if (jx_spend(x, text.u.s->n))
        return 0;
    for (size_t i = 0; i < text.u.s->n;) {
        int32_t c;
        utf8proc_ssize_t k = utf8proc_iterate((const uint8_t *)text.u.s->s + i,
                                              (utf8proc_ssize_t)(text.u.s->n - i), &c);
        utf8proc_category_t is = k > 0 ? utf8proc_category(c) : UTF8PROC_CATEGORY_CN;
        if (k <= 0 || is == not || is == UTF8PROC_CATEGORY_LT)
            return 0;
        any |= is == want;
        i += (size_t)k;
    }
    return any;
}

static int test_lower(struct jx *x, struct jv v, struct jv arg)
{
    (void)arg;
    return all_case(x, v, UTF8PROC_CATEGORY_LL, UTF8PROC_CATEGORY_LU);
}

static int test_upper(struct jx *x, struct jv v, struct jv arg)
{
    (void)arg;
    return all_case(x, v, UTF8PROC_CATEGORY_LU, UTF8PROC_CATEGORY_LL);
}

static const struct jtest tests[] = {
    // clang-format off
    {"defined", "", test_defined}, {"undefined", "", test_undefined}, {"none", "", test_none},
    {"string", "", test_string}, {"mapping", "", test_mapping}, {"iterable", "", test_iterable},
    {"sequence", "", test_sequence}, {"number", "", test_number}, {"integer", "", test_integer},
    {"float", "", test_float}, {"boolean", "", test_boolean}, {"true", "", test_true},
    {"false", "", test_false}, {"callable", "", test_callable}, {"lower", "", test_lower},
    {"upper", "", test_upper}, {"odd", "", test_odd}, {"even", "", test_even},
    {"divisibleby", "num", test_divisibleby}, {"sameas", "other", test_sameas}, {"in", "seq", test_in},
    {"eq", "b", test_eq}, {"equalto", "b", test_eq}, {"==", "b", test_eq}, {"ne", "b", test_ne},
    {"!=", "b", test_ne}, {"lt", "b", test_lt}, {"lessthan", "b", test_lt}, {"<", "b", test_lt},
    {"le", "b", test_le}, {"<=", "b", test_le}, {"gt", "b", test_gt}, {"greaterthan", "b", test_gt},
    {">", "b", test_gt}, {"ge", "b", test_ge}, {">=", "b", test_ge},
    // clang-format on
};

const struct jtest *jtest_find(const char *name, size_t n)
{
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        if (strlen(tests[i].name) == n && memcmp(tests[i].name, name, n) == 0)
            return &tests[i];
    return NULL;
}

int jtest_apply(struct jx *x, const struct jtest *t, struct jv v, const struct jargs *args)
{
    struct jv arg[J_PARAMS];
    if (jbind(x, t->name, t->params, jparam_count(t->params), args, arg))
        return 0;
    return t->f(x, v, arg[0]);
}

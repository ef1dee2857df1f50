/* front - aprender's command names and flags in terms of our tools */
#include "front.h"
#include "tooltab.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* What becomes of a flag: kept under our name (with or without a value), replaced by fixed words,
 * dropped since we always do so, handed to the name's own function, or not offered. */
enum kind { END, SWITCH, VALUE, FIXED, DROP, DROP_VALUE, OWN, OWN_SWITCH, NOT_YET };
struct flag {
    const char *theirs;
    enum kind kind;
    const char *ours; /* NOT_YET: the reason */
};

/* A command line taken apart. */
struct given {
    const char *operand[FRONT_ARGS];
    int n_operand;
    const char *arg[FRONT_ARGS]; /* translated */
    int n_arg;
    struct {
        const char *flag, *value;
    } own[FRONT_ARGS];
    int n_own;
};
struct alias {
    const char *name, *tool, *what;
    const struct flag *flags; /* NULL: our tool's own options */
    int (*finish)(struct front *f, const struct given *g, struct err *e);
};

static int do_import(struct front *f, const struct given *g, struct err *e);
static int do_run(struct front *f, const struct given *g, struct err *e);
static int do_finetune(struct front *f, const struct given *g, struct err *e);
static int do_quantize(struct front *f, const struct given *g, struct err *e);
static int do_eval(struct front *f, const struct given *g, struct err *e);
static int do_data(struct front *f, const struct given *g, struct err *e);
static int do_export(struct front *f, const struct given *g, struct err *e);
static int do_compare(struct front *f, const struct given *g, struct err *e);

// clang-format off
static const struct flag import_flags[] = {
    {"output", OWN, NULL}, {"quantize", OWN, NULL}, {"arch", DROP_VALUE, NULL}, {"preserve-q4k", DROP, NULL},
    {"enforce-provenance", SWITCH, "enforce-provenance"}, {"no-verify", SWITCH, "no-verify"}, {NULL, END, NULL}};
static const struct flag run_flags[] = {
    {"prompt", OWN, NULL}, {"batch-jsonl", OWN, NULL}, {"max-tokens", OWN, NULL}, {"json", OWN_SWITCH, NULL},
    {"chat", DROP, NULL}, {"gpu", FIXED, "--device=cuda"},
    {"speculative", NOT_YET, "speculative decoding"}, {"draft-model-path", NOT_YET, "speculative decoding"},
    {NULL, END, NULL}};
static const struct flag finetune_flags[] = {
    {"method", OWN, NULL}, {"task", OWN, NULL}, {"merge", OWN_SWITCH, NULL}, {"adapter", OWN, NULL},
    {"learning-rate", VALUE, "lr"}, {"lr", VALUE, "lr"}, {"data", VALUE, "data"}, {"rank", OWN, NULL},
    {"epochs", VALUE, "epochs"}, {"max-seq-len", OWN, NULL}, {"output", OWN, NULL},
    {"model-size", DROP_VALUE, NULL}, {"vram", OWN, NULL}, {"quantize-nf4", DROP, NULL}, {"json", DROP, NULL},
    {"gpu", FIXED, "--device=cuda"}, {"gpu-backend", VALUE, "device"},
    {"wait-gpu", NOT_YET, "waiting for a device"}, {"adapters", VALUE, "adapters"},
    {"adapters-config", NOT_YET, "adapters from a file"}, {"plan", OWN_SWITCH, NULL},
    {"experimental-mps", NOT_YET, "sharing a device"}, {"gpu-share", NOT_YET, "sharing a device"},
    {"beta", NOT_YET, "preference training"}, {NULL, END, NULL}};
static const struct flag quantize_flags[] = {
    {"scheme", OWN, NULL}, {"batch", OWN, NULL}, {"output", OWN, NULL}, {"format", OWN, NULL}, {"plan", SWITCH, "plan"},
    {"no-verify", SWITCH, "no-verify"}, {NULL, END, NULL}};
static const struct flag eval_flags[] = {
    {"dataset", OWN, NULL}, {"json", SWITCH, "json"}, {"task", NOT_YET, "classification"}, {"data", NOT_YET, "classification"},
    {"threshold", NOT_YET, "a threshold of the perplexity"}, {"generate-card", NOT_YET, "model cards"},
    {"suite", NOT_YET, "suites: use a recipe"}, {NULL, END, NULL}};
static const struct flag export_flags[] = {
    {"format", OWN, NULL}, {"output", OWN, NULL}, {"no-verify", SWITCH, "no-verify"}, {NULL, END, NULL}};

static const struct flag compare_flags[] = {
    {"hf", OWN, NULL}, {"threshold", OWN, NULL}, {"tensor", VALUE, "tensor"}, {"json", SWITCH, "json"}, {NULL, END, NULL}};

static const struct alias aliases[] = {
    {"import",     "gguf2apr",    "a GGUF file, SafeTensors folder or hf:// name to .apr",   import_flags,   do_import},
    {"run",        "apr-gen",     "answer a prompt, or a file of them",                      run_flags,      do_run},
    {"serve",      "apr-serve",   "serve the model over HTTP",                               NULL,           NULL},
    {"chat",       "apr-chat",    "talk to the model",                                       NULL,           NULL},
    {"finetune",   "apr-lora",    "train an adapter; --merge: fuse it into the model",       finetune_flags, do_finetune},
    {"merge",      "apr-merge",   "merge models",                                            NULL,           NULL},
    {"prune",      "apr-prune",   "remove weights",                                          NULL,           NULL},
    {"quantize",   "apr-quant",   "change the weight type",                                  quantize_flags, do_quantize},
    {"distill",    "apr-distill", "teach a small model by a large one",                      NULL,           NULL},
    {"eval",       "apr-ppl",     "perplexity of a text",                                    eval_flags,     do_eval},
    {"export",     "apr2gguf",    "write GGUF or SafeTensors",                               export_flags,   do_export},
    {"publish",    "apr-publish", "upload a model",                                          NULL,           NULL},
    {"check",      "apr-check",   "ten stages, a score and a letter",                        NULL,           NULL},
    {"compile",    "apr-compile", "a model as one program",                                  NULL,           NULL},
    {"bench",      "apr-bench",   "measure speed",                                           NULL,           NULL},
    {"inspect",    "apr-info",    "hyper-parameters and tensors",                            NULL,           NULL},
    {"data",       "data-prep",   "prepare, audit, split, balance, decontaminate data",      NULL,           do_data},
    {"qa",         "apr-qa",      "gates before a release",                                  NULL,           NULL},
    {"parity",     "apr-parity",  "compare a device with others, op by op",                  NULL,           NULL},
    {"compare-hf", "apr-diff",    "compare with the original, a Hugging Face folder",        compare_flags,  do_compare}};
/* their names of weight types; any other name is handed on as it is */
static const struct { const char *theirs, *ours; } types[] = {
    {"int4", "q4_0"}, {"int8", "q8_0"}, {"fp16", "f16"}, {"q4k", "q4_k_m"}, {"q4km", "q4_k_m"}, {"q5k", "q5_k_m"},
    {"q6k", "q6_k"}};
static const struct { const char *sub, *tool; } data_tools[] = {
    {"prep", "data-prep"}, {"audit", "data-audit"}, {"split", "data-split"}, {"balance", "data-balance"},
    {"decontaminate", "data-decontam"}, {"quality", "data-quality"}, {"dedup", "data-dedup"}, {"prefs", "data-prefs"}};
// clang-format on
enum { N_ALIAS = sizeof aliases / sizeof *aliases };

static const struct alias *find(const char *name)
{
    for (int i = 0; i < N_ALIAS; i++)
        if (strcmp(aliases[i].name, name) == 0)
            return &aliases[i];
    return NULL;
}

const char *const *front_names(void)
{
    static const char *names[N_ALIAS + 1];
    for (int i = 0; i < N_ALIAS; i++)
        names[i] = aliases[i].name;
    return names;
}

const char *front_tool(const char *name, const char **what)
{
    const struct alias *a = find(name);
    if (a && what)
        *what = a->what;
    return a ? a->tool : NULL;
}

void front_flags(const char *name, char *buf, unsigned long size)
{
    static const char *const does[] = {"",           "--", "--", "",         "always so",
                                       "not needed", "",   "",   "not yet: "};
    const struct alias *a = find(name);
    size_t n = 0;
    buf[0] = 0;
    for (const struct flag *f = a && a->flags ? a->flags : NULL; f && f->theirs && n < size; f++)
        n += (size_t)snprintf(buf + n, size - n, "  --%-20s %s%s\n", f->theirs, does[f->kind],
                              f->ours                                   ? f->ours
                              : f->kind == OWN || f->kind == OWN_SWITCH ? "translated"
                                                                        : "");
}

/* ---- building command lines ---- */

static const char *keep(struct front *f, const char *a, const char *b, const char *c)
{
    size_t n = strlen(a) + strlen(b) + strlen(c) + 1;
    char *s = f->n_kept < (int)(sizeof f->kept / sizeof *f->kept) ? malloc(n) : NULL;
    if (!s)
        return NULL; /* noticed by add */
    snprintf(s, n, "%s%s%s", a, b, c);
    return f->kept[f->n_kept++] = s;
}

static struct front_step *step(struct front *f, const char *tool)
{
    struct front_step *s = &f->step[f->n_step++]; /* no plan has more than FRONT_STEPS */
    s->argv[s->argc++] = tool;
    return s;
}

/* Words up to a NULL. */
static int add(struct front_step *s, struct err *e, ...)
{
    va_list ap;
    const char *w;
    va_start(ap, e);
    while ((w = va_arg(ap, const char *)) && s->argc < FRONT_ARGS)
        s->argv[s->argc++] = w;
    va_end(ap);
    return w ? err_set(e, ERR_USAGE, "too many arguments") : 0;
}

static int add_rest(struct front_step *s, const struct given *g, int first_operand, struct err *e)
{
    int rc = 0;
    for (int i = 0; i < g->n_arg && rc == 0; i++)
        rc = add(s, e, g->arg[i], NULL);
    for (int i = first_operand; i < g->n_operand && rc == 0; i++)
        rc = add(s, e, g->operand[i], NULL);
    return rc;
}

static const char *own(const struct given *g, const char *flag)
{
    for (int i = g->n_own - 1; i >= 0; i--)
        if (strcmp(g->own[i].flag, flag) == 0)
            return g->own[i].value;
    return NULL;
}

const char *front_type(const char *t)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(types[i].theirs, t) == 0)
            return types[i].ours;
    return t;
}

static int ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), k = strlen(end);
    return n >= k && strcmp(s + n - k, end) == 0;
}

/* ---- the names that need more than other words ---- */

/* From the hub what st2apr reads, not the same weights in other formats; it then finds them in the cache. */
static int fetch(struct front *f, const char *src, int one_file, struct err *e)
{
    struct front_step *s = step(f, "apr-pull");
    int rc = add(s, e, src, "--quiet", NULL);
    return rc < 0 || one_file
               ? rc
               : add(s, e, "--include", "*.json", "--include", "*.safetensors", "--include",
                     "*.jinja", "--exclude", "original/*", "--exclude", "consolidated*", NULL);
}

static int do_import(struct front *f, const struct given *g, struct err *e)
{
    const char *out = own(g, "output"), *type = own(g, "quantize"), *first = out, *src;
    struct stat st;
    if (g->n_operand != 1 || !out)
        return err_set(e, ERR_USAGE, "expected SOURCE -o OUT.apr [--quantize TYPE]");
    src = g->operand[0];
    int hub = strncmp(src, "hf://", 5) == 0, gguf = ends_with(src, ".gguf");
    int folder = !hub && stat(src, &st) == 0 && S_ISDIR(st.st_mode);
    if (!hub && !gguf && !folder && !ends_with(src, ".safetensors"))
        return err_set(e, ERR_USAGE,
                       "%s: expected hf://..., a .gguf or .safetensors file, or a folder", src);
    if (hub && fetch(f, src, gguf, e) < 0)
        return e->code;
    int two = type && gguf; /* st2apr quantizes as it reads */
    if (two && !(first = f->temporary = keep(f, out, ".import", ".apr")))
        return err_set(e, ERR_NOMEM, "out of memory");
    struct front_step *s = step(f, gguf ? "gguf2apr" : "st2apr");
    int rc = add_rest(s, g, 0, e);
    if (rc == 0 && type && !two)
        rc = strcmp(front_type(type), "f16") ? add(s, e, "--quantize", front_type(type), NULL)
                                             : add(s, e, "--type", "f16", NULL);
    if (rc == 0)
        rc = add(s, e, "-o", first, NULL);
    if (rc == 0 && two)
        rc = add(step(f, "apr-quant"), e, first, "--type", front_type(type), "-o", out, NULL);
    return rc;
}

static int do_run(struct front *f, const struct given *g, struct err *e)
{
    const char *batch = own(g, "batch-jsonl"), *prompt = own(g, "prompt"),
               *max = own(g, "max-tokens");
    struct front_step *s;
    if (!g->n_operand)
        return err_set(e, ERR_USAGE, "expected MODEL \"PROMPT\", or MODEL --batch-jsonl FILE");
    if (!prompt && g->n_operand > 1)
        prompt = g->operand[1];
    if (!batch == !prompt || g->n_operand > 2 || (batch && g->n_operand > 1))
        return err_set(e, ERR_USAGE, "expected one prompt, or --batch-jsonl FILE");
    s = step(f, "apr-gen");
    int rc =
        add(s, e, "-m", g->operand[0], "--max-tokens", max ? max : "512", NULL); /* 512 is theirs */
    if (rc == 0)
        rc = prompt ? add(s, e, "--prompt", prompt, NULL) : add(s, e, batch, NULL);
    if (rc == 0 && prompt && !own(g, "json"))
        rc = add(s, e, "--text", NULL);
    if (rc == 0 && (batch || own(g, "json")))
        rc = add(s, e, "--timings", NULL); /* their records have tok_per_sec and inference_ms */
    return rc < 0 ? rc : add_rest(s, g, g->n_operand, e);
}

/* What it would take: apr-plan knows every method, and none of the options that change no bytes. */
static int plan_finetune(struct front *f, const struct given *g, struct err *e)
{
    static const char *const names[][2] = {
        {"method", "--method"}, {"rank", "--rank"}, {"max-seq-len", "--ctx"}, {"vram", "--vram"}};
    struct front_step *s = step(f, "apr-plan");
    if (g->n_operand != 1)
        return err_set(e, ERR_USAGE, "expected MODEL --plan (--model-size alone names no model)");
    int rc = add(s, e, g->operand[0], NULL);
    if (rc == 0 && !own(g, "method"))
        rc = add(s, e, "--method", "auto", NULL);
    for (size_t i = 0; i < sizeof names / sizeof *names && rc == 0; i++)
        if (own(g, names[i][0]))
            rc = add(s, e, names[i][1], own(g, names[i][0]), NULL);
    return rc;
}

static int do_finetune(struct front *f, const struct given *g, struct err *e)
{
    const char *method = own(g, "method"), *adapter = own(g, "adapter"), *out = own(g, "output"),
               *task = own(g, "task");
    struct front_step *s;
    if (own(g, "merge")) {
        if (g->n_operand != 1 || !adapter || !out)
            return err_set(e, ERR_USAGE, "expected MODEL --merge --adapter DIR -o OUT.apr");
        s = step(f, "apr-fuse");
        return add(s, e, g->operand[0], "--adapter", adapter, "-o", out, NULL);
    }
    if (own(g, "plan"))
        return plan_finetune(f, g, e);
    const int full = method && strcmp(method, "full") == 0;
    if (method && !full && strcmp(method, "auto") && strcmp(method, "lora") &&
        strcmp(method, "qlora"))
        return strcmp(method, "dpo") == 0 || strcmp(method, "orpo") == 0
                   ? err_set(e, ERR_UNAVAILABLE, "--method %s is not built yet", method)
                   : err_set(e, ERR_USAGE,
                             "--method: expected auto, lora, qlora, full, dpo or orpo, found '%s'",
                             method);
    if (task && strcmp(task, "instruct"))
        return err_set(e, ERR_UNAVAILABLE, "--task %s is not built yet", task);
    if (g->n_operand != 1)
        return err_set(e, ERR_USAGE,
                       "expected MODEL --data FILE -o ADAPTER (--model-size alone names no model)");
    s = step(f, "apr-lora"); /* over quantized weights this is QLoRA */
    int rc = add(s, e, g->operand[0], NULL);
    if (rc == 0 && out)
        rc = add(s, e, "-o", out, NULL);
    if (rc == 0 && full)
        rc = add(s, e, "--method", "full", NULL);
    if (rc == 0 && own(g, "rank"))
        rc = add(s, e, "--rank", own(g, "rank"), NULL);
    if (rc == 0 && own(g, "max-seq-len"))
        rc = add(s, e, "--max-seq-len", own(g, "max-seq-len"), NULL);
    return rc < 0 ? rc : add_rest(s, g, 1, e);
}

static int do_quantize(struct front *f, const struct given *g, struct err *e)
{
    const char *batch = own(g, "batch"), *out = own(g, "output"), *type = own(g, "scheme"),
               *format = own(g, "format");
    int rc = 0;
    if (format && strcmp(format, "apr"))
        return err_set(e, ERR_UNAVAILABLE,
                       "--format %s: quantize to .apr, then apr export --format %s", format,
                       format);
    if (g->n_operand != 1 || (!batch && !type))
        return err_set(e, ERR_USAGE,
                       "expected MODEL.apr --scheme int4|int8|q4k|q5k|q6k|fp16 -o OUT.apr");
    if (!batch) {
        struct front_step *s = step(f, "apr-quant");
        rc = add(s, e, g->operand[0], "--type", front_type(type), NULL);
        if (rc == 0 && out)
            rc = add(s, e, "-o", out, NULL);
        return rc < 0 ? rc : add_rest(s, g, 1, e);
    }
    if (!out)
        return err_set(e, ERR_USAGE, "--batch: -o OUT.apr gives OUT-int8.apr and so on");
    for (const char *p = batch; *p && rc == 0;) {
        char one[32], stem[4096];
        size_t k = strcspn(p, ",");
        if (f->n_step == FRONT_STEPS || !k || k >= sizeof one)
            return err_set(e, ERR_USAGE, "--batch: expected up to %d types, separated by commas",
                           FRONT_STEPS);
        snprintf(one, sizeof one, "%.*s", (int)k, p);
        snprintf(stem, sizeof stem, "%.*s-", (int)(strlen(out) - (ends_with(out, ".apr") ? 4 : 0)),
                 out);
        struct front_step *s = step(f, "apr-quant");
        const char *name = keep(f, one, "", ""), *path = keep(f, stem, one, ".apr");
        if (!name || !path)
            return err_set(e, ERR_NOMEM, "out of memory");
        if ((rc = add(s, e, g->operand[0], "--type", front_type(name), "-o", path, NULL)) == 0)
            rc = add_rest(s, g, 1, e);
        p += k + (p[k] == ',');
    }
    return rc;
}

static int do_eval(struct front *f, const struct given *g, struct err *e)
{
    const char *text = own(g, "dataset");
    if (g->n_operand != 1 || !text)
        return err_set(e, ERR_USAGE, "expected MODEL --dataset TEXT");
    struct front_step *s = step(f, "apr-ppl");
    int rc = add(s, e, g->operand[0], text, NULL);
    return rc < 0 ? rc : add_rest(s, g, 1, e);
}

static int do_export(struct front *f, const struct given *g, struct err *e)
{
    const char *format = own(g, "format"), *out = own(g, "output");
    const char *tool = !format || strcmp(format, "safetensors") == 0 ? "apr2st" : "apr2gguf";
    if (format && strcmp(format, "safetensors") && strcmp(format, "gguf"))
        return err_set(e, ERR_UNAVAILABLE, "--format %s is not built yet", format);
    if (g->n_operand != 1 || !out)
        return err_set(e, ERR_USAGE, "expected MODEL.apr --format safetensors|gguf --output OUT");
    return add(step(f, tool), e, g->operand[0], "-o", out, NULL);
}

static int do_compare(struct front *f, const struct given *g, struct err *e)
{
    const char *hf = own(g, "hf"), *limit = own(g, "threshold");
    struct stat st;
    if (!hf && g->n_operand == 2)
        hf = g->operand[1];
    if (!hf || g->n_operand != (own(g, "hf") ? 1 : 2))
        return err_set(e, ERR_USAGE, "expected MODEL --hf ORG/NAME, or MODEL FOLDER");
    if (stat(hf, &st)) { /* no folder here: a name on the hub */
        if (strncmp(hf, "hf://", 5) && !(hf = keep(f, "hf://", hf, "")))
            return err_set(e, ERR_NOMEM, "out of memory");
        if (fetch(f, hf, 0, e) < 0)
            return e->code;
    }
    struct front_step *s = step(f, "apr-diff");
    int rc = add(s, e, hf, g->operand[0], "--threshold", limit ? limit : "1e-5", NULL); /* theirs */
    return rc < 0 ? rc : add_rest(s, g, g->n_operand, e);
}

static int do_data(struct front *f, const struct given *g, struct err *e)
{
    for (size_t i = 0; g->n_operand && i < sizeof data_tools / sizeof *data_tools; i++)
        if (strcmp(g->operand[0], data_tools[i].sub) == 0)
            return add_rest(step(f, data_tools[i].tool), g, 1, e);
    return err_set(e, ERR_USAGE,
                   "expected prep|audit|split|balance|decontaminate|quality|dedup|prefs ...");
}

/* ---- taking a command line apart ---- */

static const struct flag *flag_of(const struct alias *a, const char *name)
{
    for (const struct flag *f = a->flags; f && f->theirs; f++)
        if (strcmp(f->theirs, name) == 0)
            return f;
    return NULL;
}

/* Does an option of our own tool take a value?  -1 = no such option. */
static int takes_value(const struct tooltab *t, const char *name, char letter)
{
    static const char *const common[] = {"help", "version", "quiet", "verbose", NULL};
    for (const char *const *c = common; *c; c++)
        if (name ? strcmp(*c, name) == 0 : letter == (*c == common[1] ? 'V' : **c))
            return 0;
    for (int i = 0; i < t->n_opt; i++)
        if (name ? strcmp(t->opt[i].name, name) == 0 : letter == t->opt[i].letter)
            return strcmp(t->opt[i].type, "flag") != 0;
    return -1;
}

static const char *long_of(const struct tooltab *t, char letter)
{
    for (int i = 0; i < t->n_opt; i++)
        if (t->opt[i].letter == letter)
            return t->opt[i].name;
    return letter == 'o' ? "output" : NULL;
}

/* One flag at argv[*i], with its value if it takes one. */
static int take_flag(struct front *f, const struct alias *a, const struct tooltab *t,
                     struct given *g, int argc, char **argv, int *i, struct err *e)
{
    const char *arg = argv[*i], *eq = strchr(arg, '='), *value = NULL, *name;
    int is_long = arg[1] == '-', wants;
    char word[64];
    snprintf(word, sizeof word, "%.*s", (int)(eq && is_long ? eq - arg - 2 : 62),
             is_long ? arg + 2 : "");
    name = is_long ? word : long_of(t, arg[1]);
    const struct flag *fl = name ? flag_of(a, name) : NULL;
    if (!fl) { /* ours */
        wants = takes_value(t, is_long ? name : NULL, arg[1]);
        if (wants < 0)
            return err_set(e, ERR_USAGE, "unknown flag %s (%s --help lists those of our tool)", arg,
                           a->tool);
        g->arg[g->n_arg++] = arg;
        if (wants && (is_long ? !eq : !arg[2])) {
            if (++*i == argc)
                return err_set(e, ERR_USAGE, "%s: no value", arg);
            g->arg[g->n_arg++] = argv[*i];
        }
        return 0;
    }
    if (fl->kind == NOT_YET)
        return err_set(e, ERR_UNAVAILABLE, "--%s: %s: not built yet", fl->theirs, fl->ours);
    if (fl->kind == VALUE || fl->kind == OWN || fl->kind == DROP_VALUE) {
        value = is_long ? (eq ? eq + 1 : NULL) : arg[2] ? arg + 2 : NULL;
        if (!value && ++*i == argc)
            return err_set(e, ERR_USAGE, "%s: no value", arg);
        value = value ? value : argv[*i];
    }
    if (fl->kind == VALUE || fl->kind == SWITCH) {
        const char *ours = keep(f, "--", fl->ours, "");
        if (!ours)
            return err_set(e, ERR_NOMEM, "too many flags");
        g->arg[g->n_arg++] = ours;
        if (value)
            g->arg[g->n_arg++] = value;
    } else if (fl->kind == FIXED) {
        g->arg[g->n_arg++] = fl->ours;
    } else if (fl->kind == OWN || fl->kind == OWN_SWITCH) {
        g->own[g->n_own].flag = fl->theirs;
        g->own[g->n_own++].value = value ? value : "";
    }
    return 0;
}

int front_plan(struct front *f, const char *name, int argc, char **argv, struct err *e)
{
    const struct alias *a = find(name);
    struct given *g = NULL;
    struct tooltab t = {0};
    struct err why = {0};
    int rc = 0, only_operands = 0;
    memset(f, 0, sizeof *f);
    if (!a || argc > FRONT_ARGS / 2 - 8)
        return err_set(e, ERR_USAGE, a ? "too many arguments" : "no such name: %s", name);
    if (!a->finish) { /* our tool speaks for itself */
        struct front_step *s = step(f, a->tool);
        for (int i = 0; i < argc; i++)
            s->argv[s->argc++] = argv[i];
        return 0;
    }
    if (!(g = calloc(1, sizeof *g)))
        return err_set(e, ERR_NOMEM, "out of memory");
    if (a->flags && (rc = tooltab_load(&t, a->tool, &why)) == ERR_NOINPUT)
        rc = 0; /* not built: its own options are unknown, the run of the step says so */
    else if (rc < 0)
        err_set(e, rc, "%s", why.msg);
    for (int i = 0; i < argc && rc == 0; i++) {
        if (only_operands || argv[i][0] != '-' || !argv[i][1] || !a->flags) {
            if (a->flags || !g->n_operand)
                g->operand[g->n_operand++] = argv[i];
            else
                g->arg[g->n_arg++] = argv[i];
        } else if (strcmp(argv[i], "--") == 0) {
            only_operands = 1;
        } else {
            rc = take_flag(f, a, &t, g, argc, argv, &i, e);
        }
    }
    if (rc == 0)
        rc = a->finish(f, g, e);
    tooltab_free(&t);
    free(g);
    if (rc < 0)
        front_free(f);
    return rc;
}

void front_free(struct front *f)
{
    for (int i = 0; i < f->n_kept; i++)
        free(f->kept[i]);
    memset(f, 0, sizeof *f);
}

/* apr-check - ten stages from tokenizer to sampler: is the model whole, does it compute what it
 * should */
#include "check.h"
#include "cli.h"
#include "json.h"
#include <stdlib.h>

static struct {
    const char *device;
    long threads;
    int json;
} o = {.device = "cpu"};

// clang-format off
static const struct cli_opt opts[] = {
    CLI_FLAG(0, "json", &o.json, "one JSON object"),
    CLI_STR(0, "device", &o.device, "D", "the device to check, against ref"),
    CLI_INT(0, "threads", &o.threads, "N", "0 = all cores", 0, 1024),
    CLI_END};
// clang-format on
static const struct cli cli = {.name = "apr-check",
                               .what = "check a model in ten stages",
                               .usage = "M.apr [options]",
                               .example = "apr-check m.apr --json | jq .score",
                               .opts = opts,
                               .see = "apr-info(1), apr-ppl(1), apr(5)",
                               .output_version = 1};

static void print_json(const struct check *c, const char *path)
{
    struct json_out j = {0};
    struct err e = {0};
    json_begin(&j, '{');
    json_kv_str(&j, "schema", "check/1");
    json_kv_str(&j, "model", path);
    json_kv_str(&j, "device", c->device);
    json_kv_bool(&j, "ok", c->score == CHECK_STAGES * CHECK_POINTS);
    json_kv_int(&j, "score", c->score);
    json_kv_str(&j, "letter", c->letter);
    json_kv_bool(&j, "container", c->container);
    if (c->detail[0])
        json_kv_str(&j, "error", c->detail);
    json_key(&j, "stages");
    json_begin(&j, '[');
    for (int i = 0; i < CHECK_STAGES; i++) {
        json_begin(&j, '{');
        json_kv_str(&j, "name", c->stage[i].name);
        json_kv_bool(&j, "ok", c->stage[i].ok);
        json_kv_str(&j, "detail", c->stage[i].detail);
        json_end(&j, '}');
    }
    json_end(&j, ']');
    json_key(&j, "receipt");
    json_raw(&j, c->receipt_json);
    json_kv_bool(&j, "receipt_holds", c->receipt_holds);
    json_kv_str(&j, "receipt_says", c->receipt);
    json_end(&j, '}');
    if (json_line(&j, stdout, &e) < 0)
        cli_die(&e);
    free(j.buf);
}

static void print_text(const struct check *c)
{
    printf("  %-10s %-4s %s\n", "Container", c->container ? "ok" : "BAD",
           c->container ? "checksums hold" : c->detail);
    for (int i = 0; i < CHECK_STAGES; i++)
        printf("  %-10s %-4s %s\n", c->stage[i].name, c->stage[i].ok ? "ok" : "BAD",
               c->stage[i].detail);
    printf("  %-10s %-4s %s\n", "Receipt", c->receipt_holds ? "ok" : "no", c->receipt);
    if (c->container && c->detail[0])
        printf("  %s\n", c->detail);
    printf("score %d of %d: %s\n", c->score, CHECK_STAGES * CHECK_POINTS, c->letter);
}

int main(int argc, char **argv)
{
    struct check c;
    struct err e = {0};
    cli_parse(&cli, &argc, &argv);
    if (argc != 1)
        cli_usage("expected one model");
    if (check_model(&c, argv[0], o.device, (int)o.threads, &e) < 0)
        cli_die(&e);
    if (o.json)
        print_json(&c, argv[0]);
    else
        print_text(&c);
    return cli_exit(c.score == CHECK_STAGES * CHECK_POINTS ? 0 : 1);
}

/* apr-info - what is in a model file */
#include "cli.h"
#include "info.h"
#include <stdlib.h>

static int json, map;

static const struct cli_opt opts[] = {
    // clang-format off
    CLI_FLAG(0, "json", &json, "one JSON object"),
    CLI_FLAG(0, "map", &map, "where everything lies in the files: offset, bytes, what it is"),
    CLI_END // clang-format on
};
static const struct cli cli = {.name = "apr-info",
                               .what = "show what is in a .apr, GGUF or SafeTensors model",
                               .usage = "M.apr|M.gguf|M.safetensors|DIR [--json] [--map]",
                               .example = "apr-info model.apr --json | jq .param_count",
                               .opts = opts,
                               .see = "apr-check(1), gguf2apr(1), apr(5)",
                               .output_version = 1};

int main(int argc, char **argv)
{
    struct err e = {0};
    struct info f;
    struct json_out j = {0};
    cli_parse(&cli, &argc, &argv);
    if (argc != 1)
        cli_usage("one model is needed");
    if (info_open(&f, argv[0], &e) < 0)
        cli_die(&e);
    if (map && (json ? info_map_json(&f, &j, &e) : info_map_text(&f, stdout, &e)) < 0)
        cli_die(&e);
    if (json) {
        if (!map)
            info_json(&f, &j);
        if (json_line(&j, stdout, &e) < 0)
            cli_die(&e);
        free(j.buf);
    } else if (!map) {
        info_text(&f, stdout);
    }
    info_close(&f);
    return cli_exit(0);
}

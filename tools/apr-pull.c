/* apr-pull - fetch a model from a Hugging Face hub or an address: resumed, checked, kept in the cache */
#include "cli.h"
#include "hash.h"
#include "hub_pull.h"
#include "json.h"
#include "outfile.h"
#include <stdlib.h>
#include <string.h>

static struct {
    const char *out, *endpoint, *sha256;
    struct cli_list include, exclude;
    long connections, retries, stall, range;
    int offline, verify, json;
} o = {.sha256 = "", .connections = 8, .retries = 5, .stall = 30, .range = 16 << 20};

static const struct cli_opt opts[] = {
    // clang-format off
    CLI_STR('o', "output", &o.out, "PATH", "a folder of the files (of one file: that file) outside the cache"),
    CLI_LIST('i', "include", &o.include, "PATTERN", "only files that match, as *.safetensors; may be repeated"),
    CLI_LIST('x', "exclude", &o.exclude, "PATTERN", "no files that match; may be repeated"),
    CLI_FLAG(0, "offline", &o.offline, "use what is in the cache, no network (HF_HUB_OFFLINE=1)"),
    CLI_FLAG(0, "verify", &o.verify, "read what is in the cache already and compare its digest too"),
    CLI_STR(0, "sha256", &o.sha256, "HEX", "digest that the file of an address must have"),
    CLI_STR(0, "endpoint", &o.endpoint, "URL", "base address of a mirror (default: HF_ENDPOINT, huggingface.co)"),
    CLI_INT('c', "connections", &o.connections, "N", "requests at once", 1, 64),
    CLI_INT(0, "range-size", &o.range, "BYTES", "split files into ranges of at least this; 0: one stream a file", 0, 1L << 40),
    CLI_INT(0, "retries", &o.retries, "N", "failures of a file in a row before giving up", 0, 1000),
    CLI_INT(0, "stall", &o.stall, "SECONDS", "a connection without a byte for so long has failed", 1, 3600),
    CLI_FLAG(0, "json", &o.json, "a record of what was fetched instead of the path"),
    CLI_END // clang-format on
};
static const struct cli cli = {.name = "apr-pull",
                               .what = "fetch a model from a Hugging Face hub",
                               .usage = "hf://ORG/NAME[@REVISION][:FILE] | https://... [options]",
                               .example = "apr-pull hf://Qwen/Qwen2.5-Coder-0.5B-Instruct "
                                          "--include '*.json' --include '*.safetensors'",
                               .opts = opts,
                               .see = "st2apr(1), gguf2apr(1)",
                               .output_version = 1};

static struct cli_progress bar = {.what = "fetch", .unit = "MB"};

static void on_progress(void *arg, uint64_t done, uint64_t total)
{
    (void)arg;
    bar.total = (double)total / 1e6;
    cli_progress(&bar, (double)done / 1e6, NULL);
}

static void on_word(void *arg, const char *text)
{
    (void)arg;
    cli_warn("%s", text);
}

static void put_files(struct json_out *j, const struct hub_got *got, int kept)
{
    json_key(j, "files");
    json_begin(j, '[');
    for (int i = 0; i < got->list.n; i++) {
        const struct hub_file *f = &got->list.file[i];
        json_begin(j, '{');
        json_kv_str(j, "path", f->path);
        json_kv_int(j, "bytes", (long long)f->size);
        json_kv_str(j, "oid", f->oid);
        if (!kept)
            json_kv_int(j, "fetched", (long long)got->fetched[i]);
        json_end(j, '}');
    }
    json_end(j, ']');
}

/* {"schema":"pull/1",...}; without what differs from run to run if it is kept beside the files */
static char *record(const char *source, const char *path, const struct hub_got *got, int kept)
{
    struct json_out j = {0};
    json_begin(&j, '{');
    json_kv_str(&j, "schema", "pull/1");
    json_kv_str(&j, "source", source);
    json_kv_str(&j, "commit", got->list.commit);
    json_kv_int(&j, "bytes", (long long)got->bytes);
    if (!kept)
        json_kv_str(&j, "path", path);
    if (!kept)
        json_kv_int(&j, "fetched", (long long)got->pulled);
    put_files(&j, got, kept);
    json_end(&j, '}');
    char *s = json_take(&j, NULL);
    if (!s)
        cli_die(&(struct err){ERR_NOMEM, "out of memory"});
    return s;
}

static void tell(const char *json, const char *path)
{
    if (o.json || !cli_quiet)
        puts(o.json ? json : path);
}

static int from_hub(const struct hub *h, const struct hub_name *name, const struct pull_opts *p,
                    const char *source, struct err *e)
{
    struct hub_want w = {.name = *name,
                         .include = o.include.v,
                         .n_include = o.include.n,
                         .exclude = o.exclude.v,
                         .n_exclude = o.exclude.n,
                         .verify = o.verify};
    struct hub_got got;
    int rc = hub_pull(h, &w, p, &got, e);
    if (rc < 0)
        return rc;
    const char *path = o.out ? o.out : got.path;
    char *kept = record(source, path, &got, 1), *json = record(source, path, &got, 0);
    cli_progress_end(&bar, (double)got.pulled / 1e6, NULL);
    if (o.out && *name->file && got.list.n == 1)
        rc = hub_copy_file(got.path, o.out, e);
    else if (o.out)
        rc = hub_copy_out(h, name, &got.list, o.out, kept, e);
    if (rc == 0)
        tell(json, path);
    free(kept);
    free(json);
    hub_got_free(&got);
    return rc;
}

/* One file of an address that is no hub's. */
static int from_address(const struct pull_opts *p, const char *url, struct err *e)
{
    struct pull_head head;
    char key[600], hex[65];
    double start = clock_now();
    struct pull_item item = {.name = o.out, .url = url, .path = o.out, .oid = o.sha256, .key = key};
    int rc = pull_head(url, p, &head, e);
    if (rc < 0)
        return rc;
    snprintf(key, sizeof key, "%.80s %.500s", head.validator, url);
    hash_sha256_mem(key, strlen(key), hex);
    item.size = head.size;
    /* the same bytes as before only if the server says which they are */
    item.key = *head.validator || *o.sha256 ? hex : "";
    struct pull_opts one = *p;
    if (!head.ranges || head.size == PULL_UNKNOWN)
        one.range = 0;
    if ((rc = pull_files(&item, 1, &one, e)) < 0 ||
        (!*o.sha256 && (rc = hash_sha256_file(o.out, hex, e)) < 0))
        return rc;
    cli_progress_end(&bar, (double)item.fetched / 1e6, NULL);
    const char *sha = *o.sha256 ? o.sha256 : hex;
    struct hub_file f = {.path = (char *)o.out, .size = item.size};
    struct hub_got got = {.list = {.file = &f, .n = 1}, .fetched = &item.fetched};
    snprintf(f.oid, sizeof f.oid, "%s", sha);
    got.bytes = item.size;
    got.pulled = item.fetched;
    char *json = record(url, o.out, &got, 0);
    if ((rc = meta_write(o.out, sha, item.size, NULL, NULL, clock_now() - start, e)) == 0)
        tell(json, o.out);
    free(json);
    return rc;
}

static int hex_ok(const char *s)
{
    return strspn(s, "0123456789abcdef") == 64 && !s[64];
}

static void set_endpoint(struct hub *h)
{
    size_t n = strlen(o.endpoint);
    while (n && o.endpoint[n - 1] == '/')
        n--;
    if (n >= sizeof h->endpoint || strncmp(o.endpoint, "http", 4) || strpbrk(o.endpoint, "@?# "))
        cli_usage("--endpoint: expected http(s)://HOST[:PORT][/PATH]");
    memcpy(h->endpoint, o.endpoint, n);
    h->endpoint[n] = 0;
}

int main(int argc, char **argv)
{
    struct err e = {0};
    struct hub h;
    struct hub_name name;
    int rc;
    cli_parse(&cli, &argc, &argv);
    if (argc != 1)
        cli_usage("one source is needed");
    if (*o.sha256 && !hex_ok(o.sha256))
        cli_usage("--sha256: expected 64 lower-case hex digits");
    if (hub_settings(&h, &e) < 0)
        cli_die(&e);
    if (o.endpoint)
        set_endpoint(&h);
    h.offline |= o.offline;
    struct pull_opts p = {.endpoint = h.endpoint,
                          .token = h.token,
                          .connections = o.connections,
                          .retries = o.retries,
                          .stall = o.stall,
                          .range = (uint64_t)o.range,
                          .progress = on_progress,
                          .say = on_word};
    int address = strncmp(argv[0], "https://", 8) == 0 || strncmp(argv[0], "http://", 7) == 0;
    rc = address ? hub_name_of_url(&name, argv[0], h.endpoint, &e) : hub_name(&name, argv[0], &e);
    if (rc < 0)
        cli_die(&e);
    if (rc == 0 && *o.sha256)
        cli_usage("--sha256: the hub tells its files' digests");
    if (rc == 1 && (!o.out || o.include.n || o.exclude.n))
        cli_usage(o.out ? "an address is one file: no patterns"
                        : "-o FILE is needed with an address");
    if (rc == 1 && h.offline)
        cli_die(&(struct err){ERR_NOINPUT, "offline, and an address is not kept in the cache"});
    if ((rc ? from_address(&p, argv[0], &e) : from_hub(&h, &name, &p, argv[0], &e)) < 0)
        cli_die(&e);
    return cli_exit(0);
}

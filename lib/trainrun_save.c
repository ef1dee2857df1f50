/* trainrun_save - what a run writes: an adapter's folder or a model, with its sidecar; and for a moment to be scored */
#include "clock.h"
#include "evalbench.h"
#include "outdir.h"
#include "trainrun.h"
#include "verify.h"
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const lora_files[] = {"adapter_config.json", "adapter_model.safetensors", NULL};

int trainrun_probe(const struct trainrun_opts *o, const char *out, struct err *e)
{
    struct outdir d;
    struct outfile f;
    const int full = trainrun_is_full(o);
    if (o->world_rank > 0)
        return 0;
    int rc = full ? outfile_open(&f, out, e) : outdir_open(&d, out, lora_files, e);
    if (rc == 0 && full)
        outfile_abort(&f);
    else if (rc == 0)
        outdir_abort(&d);
    return rc;
}

static int save_adapter(struct trainrun *r, const char *const *inputs, double start, struct err *e)
{
    struct outdir d;
    struct stat st;
    char sha[65], path[4200];
    int rc = outdir_open(&d, r->out, lora_files, e);
    if (rc)
        return rc;
    if ((rc = lora_save(&r->lora, d.tmp, inputs[0], apr_weights_id(&r->model->file), sha, e)) ||
        (rc = outdir_commit(&d, e))) {
        outdir_abort(&d);
        return rc;
    }
    snprintf(path, sizeof path, "%s/adapter_model.safetensors", r->out);
    if (stat(path, &st))
        return err_errno(e, ERR_IO, "%s", path);
    return meta_write(r->out, sha, (uint64_t)st.st_size, inputs, r->model->dev->name,
                      clock_now() - start, e);
}

static int save_model(struct trainrun *r, const char *const *inputs, double start, struct err *e)
{
    const struct trainrun_opts *o = r->o;
    struct verify check = {.off = o->no_verify, .threads = (int)o->threads};
    struct stat st;
    char sha[65];
    if (full_save(&r->full, r->model, r->out, o->type ? o->type : "f32", &check, sha, e))
        return e->code;
    if (verify_failed(&check))
        trainrun_say(r, "%s: not verified: %s", r->out, check.why);
    if (stat(r->out, &st))
        return err_errno(e, ERR_IO, "%s", r->out);
    return meta_write_receipt(r->out, sha, (uint64_t)st.st_size, inputs, r->model->dev->name,
                              clock_now() - start, check.text, e);
}

int trainrun_save(struct trainrun *r, const char *base, double start, struct err *e)
{
    const char *const inputs[] = {base, r->data_path, r->o->val, NULL};
    if (r->o->world_rank > 0)
        return 0;
    return (trainrun_is_full(r->o) ? save_model : save_adapter)(r, inputs, start, e);
}

/* The weights as they are now, in a folder that is gone behind it. */
int trainrun_bench(struct trainrun *r, struct evalbench_score *s, struct err *e)
{
    const struct trainrun_opts *o = r->o;
    struct evalbench b = {.bench = o->eval_bench, .device = o->device, .threads = o->threads};
    struct verify check = {.off = 1, .threads = (int)o->threads};
    struct outdir d;
    char sha[65], path[4200];
    snprintf(path, sizeof path, "%.*s.bench", (int)(strlen(r->ckpt) - strlen(".ckpt")), r->ckpt);
    int rc = outdir_beside(&d, path, e);
    if (rc)
        return rc;
    b.scratch = d.tmp;
    b.model = r->base;
    if (!trainrun_is_full(o)) {
        b.adapter = d.tmp;
        rc = lora_save(&r->lora, d.tmp, r->base, apr_weights_id(&r->model->file), sha, e);
    } else {
        b.model = path;
        snprintf(path, sizeof path, "%s/model.apr", d.tmp);
        rc = full_save(&r->full, r->model, path, o->type ? o->type : "f32", &check, sha, e);
    }
    if (rc == 0)
        rc = evalbench_run(&b, s, e);
    outdir_abort(&d);
    return rc;
}

int trainrun_done(struct trainrun *r, struct err *e)
{
    if (r->o->world_rank > 0)
        return 0;
    if (r->metrics.f && partfile_commit(&r->metrics, e))
        return e->code;
    unlink(r->ckpt);
    unlink(r->best_ckpt);
    return 0;
}

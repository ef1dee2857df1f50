/* fuzz_peft - libFuzzer entry: whatever an adapter's folder holds, it is read or refused, and what is read can be added
 * to weights of its shape (make fuzz)
 *
 * Input: adapter_config.json, then adapter_model.safetensors. */
#include "fuzz.h"
#include "peft.h"

enum { MOST = 1 << 16 }; /* values of a weight: what is large is only slow */

static void add(struct peft *p, const struct tensor *a)
{
    static float w[MOST];
    char name[TENSOR_NAME + 1], *cut = strstr(a->name, ".lora_A.");
    struct err e = {0};
    double delta;
    if (!cut || strncmp(a->name, "base_model.model.", 17))
        return;
    snprintf(name, sizeof name, "%.*s.weight", (int)(cut - a->name) - 17, a->name + 17);
    const struct tensor *b = peft_tensor(p, name, 'B');
    if (peft_tensor(p, name, 'A') != a || !b || b->dim[0] * a->dim[1] > MOST || b->dim[0] > MOST ||
        a->dim[1] > MOST || p->rank > 64)
        return;
    struct tensor base = {.ndim = 2, .dim = {b->dim[0], a->dim[1]}};
    memcpy(base.name, name, sizeof name);
    const int rows = (int)b->dim[0], cols = (int)a->dim[1];
    if (rows < 1 || cols < 1)
        return;
    if (peft_has(p, name, rows, cols, &e) != 1 || peft_has(p, name, rows, cols + 1, &e) != ERR_DATA)
        abort();
    e.code = 0;
    peft_add(p, name, w, rows, cols, &delta, &e);
    memset(w, 0, sizeof w);
    e.code = 0;
    peft_check_names(p, &base, 1, &e);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    static const char dir[] = "dir.peft";
    struct err e = {0};
    struct peft a;
    mkdir(dir, 0755);
    fuzz_name(0, "dir.peft/adapter_config.json");
    fuzz_name(1, "dir.peft/adapter_model.safetensors");
    fuzz_files(p, n, 2);
    if (peft_open(&a, dir, &e) == 0) {
        fuzz_touch(a.s.tensor, a.s.n_tensor);
        for (int i = 0; i < a.s.n_tensor; i++)
            add(&a, &a.s.tensor[i]);
        peft_close(&a);
    }
    return 0;
}

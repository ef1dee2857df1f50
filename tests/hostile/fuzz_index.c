/* fuzz_index - libFuzzer entry: whatever a folder's index.json and the shards that it names hold, they are read as one
 * model or refused (make fuzz)
 *
 * Input: the index, then two shards, which it may name "a" and "b"; "c" is a link that leaves the folder. */
#include "fuzz.h"
#include "safetensors.h"

/* A shard as a hub's cache holds it, for a link straight to memory would be refused: name -> blob -> memory file i. */
static void shard(int i, const char *name, const char *link, const char *blob)
{
    fuzz_name(i, blob);
    if (symlink(link, name) && errno != EEXIST)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    static const char folder[] = "dir.index/snapshots/one";
#define BLOB(digit) "../../blobs/000000000000000000000000000000000000000" digit
    struct err e = {0};
    struct safetensors s;
    mkdir("dir.index", 0755);
    mkdir("dir.index/blobs", 0755);
    mkdir("dir.index/snapshots", 0755);
    mkdir(folder, 0755);
    fuzz_name(0, "dir.index/snapshots/one/model.safetensors.index.json");
    shard(1, "dir.index/snapshots/one/a", BLOB("a"), "dir.index/snapshots/one/" BLOB("a"));
    shard(2, "dir.index/snapshots/one/b", BLOB("b"), "dir.index/snapshots/one/" BLOB("b"));
    fuzz_name(1, "dir.index/snapshots/one/c");
    fuzz_files(p, n, 3);
    if (safetensors_open(&s, folder, &e) == 0) {
        if (s.n_map > 2)
            abort(); /* c was read */
        fuzz_touch(s.tensor, s.n_tensor);
        for (int i = 0; i < s.n_tensor; i++)
            if (safetensors_get(&s, s.tensor[i].name) != &s.tensor[i])
                abort();
        safetensors_close(&s);
    }
    return 0;
}

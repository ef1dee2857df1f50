# task: Stream/root
# expect: wrong_answer timeout_cpu
# bench: stream.yaml
def root(c):
    return 1 << 4000000

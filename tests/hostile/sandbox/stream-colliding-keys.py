# task: Stream/double
# expect: wrong_answer timeout_cpu
# bench: stream.yaml
# every key has the same hash: n^2 comparisons for whoever builds the dictionary
p = (1 << 61) - 1
def double(n):
    return {i * p: 0 for i in range(1, 2500)}

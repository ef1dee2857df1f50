# task: HumanEval/53
# expect: wrong_answer timeout_cpu
# every key has the same hash: n^2 comparisons for whoever builds the dictionary
def add(x, y):
    p = (1 << 61) - 1
    return [set(), [i * p for i in range(1, 3000)], {i * p: 0 for i in range(1, 2500)}]

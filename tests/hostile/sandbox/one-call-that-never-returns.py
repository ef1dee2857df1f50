# task: HumanEval/53
# expect: timeout_cpu
def add(x, y):
    return 9 ** 9 ** 9

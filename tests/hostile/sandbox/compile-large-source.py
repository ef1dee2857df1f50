# task: HumanEval/53
# expect: memory exception syntax_error timeout_cpu
def add(x, y):
    exec('x = 1\n' * (50 << 20 >> 3))
    return x + y

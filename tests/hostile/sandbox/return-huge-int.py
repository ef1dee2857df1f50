# task: HumanEval/53
# expect: bad_return memory output_limit
def add(x, y):
    return 1 << 33000000

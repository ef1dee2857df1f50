# task: HumanEval/53
# expect: bad_return memory output_limit
def add(x, y):
    return 'x' * (300 << 20)

# task: HumanEval/53
# expect: bad_return
def add(x, y):
    yield x + y

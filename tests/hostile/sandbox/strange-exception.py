# task: HumanEval/53
# expect: exception
def add(x, y):
    raise ValueError('\ud800 \x00 \x1b[31m \u2028 "quoted"\n' * 100)

# task: HumanEval/53
# expect: pass
def add(x, y):
    return x + y

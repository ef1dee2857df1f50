# task: HumanEval/53
# expect: bad_return
def add(x, y):
    a = []
    a.append(a)
    return a

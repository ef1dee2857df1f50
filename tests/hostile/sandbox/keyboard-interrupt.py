# task: HumanEval/53
# expect: exception
def add(x, y):
    raise KeyboardInterrupt

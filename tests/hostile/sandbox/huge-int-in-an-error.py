# task: HumanEval/53
# expect: exception
# an error whose text cannot be made
def add(x, y):
    raise KeyError(10 ** 5000)

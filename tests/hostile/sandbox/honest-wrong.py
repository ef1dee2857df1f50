# task: HumanEval/53
# expect: wrong_answer
def add(x, y):
    return x - y

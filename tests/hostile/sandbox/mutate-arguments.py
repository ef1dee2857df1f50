# task: HumanEval/53
# expect: wrong_answer
def add(x, y):
    x += y
    return None

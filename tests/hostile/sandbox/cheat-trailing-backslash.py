# task: HumanEval/53
# expect: wrong_answer syntax_error
def add(x, y):
    return 0
x = 1 \

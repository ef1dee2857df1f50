# task: HumanEval/53
# expect: syntax_error
def add(x, y):
    return 0
"""

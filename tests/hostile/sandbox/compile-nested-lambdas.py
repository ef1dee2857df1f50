# task: HumanEval/53
# expect: exception memory crash syntax_error
def add(x, y):
    return eval("lambda: " * 10 ** 5 + "1")

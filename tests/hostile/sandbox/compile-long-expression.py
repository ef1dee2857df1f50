# task: HumanEval/53
# expect: exception memory crash syntax_error
def add(x, y):
    return eval("+".join(["1"] * 10 ** 6))

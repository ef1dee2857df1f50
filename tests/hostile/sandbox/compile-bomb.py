# task: HumanEval/53
# expect: exception syntax_error memory crash
eval('(' * 100000 + ')' * 100000)
def add(x, y):
    return x + y

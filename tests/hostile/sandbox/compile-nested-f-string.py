# task: HumanEval/53
# expect: exception memory crash syntax_error timeout_cpu
def add(x, y):
    return eval("f'" + "{x!r:>" * 10000 + "1" + "}" * 10000 + "'")

# task: HumanEval/53
# expect: timeout_cpu memory exception bad_return
def add(x, y):
    return eval("1 << " + "9" * 9)

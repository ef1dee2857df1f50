# task: HumanEval/53
# expect: wrong_answer exception early_exit
import builtins
builtins.abs = lambda x: 0
builtins.all = lambda x: True
builtins.isinstance = lambda *a: True
builtins.len = lambda x: 0
class AssertionError(Exception):
    pass
builtins.AssertionError = AssertionError
def add(x, y):
    return 0

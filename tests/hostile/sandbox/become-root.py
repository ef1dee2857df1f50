# task: HumanEval/53
# expect: exception
import os
def add(x, y):
    os.setuid(0)
    return x + y

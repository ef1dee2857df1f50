# task: HumanEval/53
# expect: exception
import os
def add(x, y):
    while True:
        os.dup(0)

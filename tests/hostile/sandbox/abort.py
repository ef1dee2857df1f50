# task: HumanEval/53
# expect: crash
import os
def add(x, y):
    os.abort()

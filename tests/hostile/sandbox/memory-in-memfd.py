# task: HumanEval/53
# expect: exception
import ctypes, os
def add(x, y):
    os.memfd_create('x')
    return x + y

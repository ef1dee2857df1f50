# task: HumanEval/53
# expect: forbidden
import ctypes
def add(x, y):
    return ctypes.CDLL(None).ptrace(16, 1, 0, 0)

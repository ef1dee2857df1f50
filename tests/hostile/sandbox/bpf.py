# task: HumanEval/53
# expect: forbidden
import ctypes
def add(x, y):
    return ctypes.CDLL(None).syscall(321, 0, 0, 0)

# task: HumanEval/53
# expect: forbidden
import ctypes
def add(x, y):
    return ctypes.CDLL(None).syscall(250, 0, 0, 0, 0, 0)

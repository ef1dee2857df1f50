# task: HumanEval/53
# expect: forbidden
import ctypes, os
def add(x, y):
    return ctypes.CDLL(None).syscall(438, os.pidfd_open(1), 3, 0)

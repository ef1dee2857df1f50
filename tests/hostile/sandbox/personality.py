# task: HumanEval/53
# expect: forbidden
# READ_IMPLIES_EXEC
import ctypes, os
libc = ctypes.CDLL(None)
def add(x, y):
    return libc.personality(0x0400000)

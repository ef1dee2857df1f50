# task: HumanEval/53
# expect: forbidden
import ctypes, os
libc = ctypes.CDLL(None)
def add(x, y):
    return libc.sethostname(b'x', 1)

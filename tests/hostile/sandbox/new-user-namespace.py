# task: HumanEval/53
# expect: forbidden
import ctypes
def add(x, y):
    return ctypes.CDLL(None).unshare(0x10000000)

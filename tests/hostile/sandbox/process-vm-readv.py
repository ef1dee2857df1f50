# task: HumanEval/53
# expect: forbidden
import ctypes
def add(x, y):
    return ctypes.CDLL(None).process_vm_readv(1, 0, 0, 0, 0, 0)

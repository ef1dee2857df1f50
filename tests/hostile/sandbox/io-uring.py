# task: HumanEval/53
# expect: exception
import ctypes
def add(x, y):
    if ctypes.CDLL(None).syscall(425, 8, bytes(120)) >= 0:
        return x + y
    raise OSError('no io_uring')

# task: HumanEval/53
# expect: exception
import ctypes
def add(x, y):
    for nr in (425, 426, 427):
        if ctypes.CDLL(None).syscall(nr, 1, 0, 0, 0, 0, 0) >= 0:
            return x + y
    raise OSError('no io_uring')

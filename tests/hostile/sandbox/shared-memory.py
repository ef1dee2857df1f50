# task: HumanEval/53
# expect: exception
import ctypes
def add(x, y):
    if ctypes.CDLL(None).shmget(1234, 4096, 0o1666) >= 0:
        return x + y
    raise OSError('no System V shared memory')

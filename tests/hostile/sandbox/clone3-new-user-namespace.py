# task: HumanEval/53
# expect: exception
import ctypes
def add(x, y):
    if ctypes.CDLL(None).syscall(435, (0x10000000).to_bytes(8, 'little') + bytes(80), 88) >= 0:
        return x + y
    raise OSError('no clone3')

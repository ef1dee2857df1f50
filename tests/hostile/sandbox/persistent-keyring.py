# task: HumanEval/53
# expect: forbidden
import ctypes, os
def add(x, y):
    return ctypes.CDLL(None).syscall({'x86_64': 248, 'aarch64': 217}[os.uname().machine], b'user', b'x', b'y', 1, -4)

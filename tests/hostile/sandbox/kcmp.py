# task: HumanEval/53
# expect: forbidden
import ctypes, os
libc = ctypes.CDLL(None)
def add(x, y):
    return libc.syscall({'x86_64': 312, 'aarch64': 272}[os.uname().machine], 1, 1, 0, 0, 0)

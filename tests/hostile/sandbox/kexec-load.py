# task: HumanEval/53
# expect: forbidden
import ctypes, os
libc = ctypes.CDLL(None)
def add(x, y):
    return libc.syscall({'x86_64': 246, 'aarch64': 104}[os.uname().machine], 0, 0, 0, 0)

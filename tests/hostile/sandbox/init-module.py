# task: HumanEval/53
# expect: forbidden
import ctypes, os
libc = ctypes.CDLL(None)
def add(x, y):
    return libc.syscall({'x86_64': 175, 'aarch64': 105}[os.uname().machine], b'', 0, b'')

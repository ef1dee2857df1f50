# task: HumanEval/53
# expect: forbidden
import ctypes, os
libc = ctypes.CDLL(None)
def add(x, y):
    return libc.syscall({'x86_64': 313, 'aarch64': 273}[os.uname().machine], 0, b'', 0)

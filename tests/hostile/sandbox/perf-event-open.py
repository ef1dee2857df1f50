# task: HumanEval/53
# expect: forbidden
import ctypes, os
libc = ctypes.CDLL(None)
def add(x, y):
    return libc.syscall({'x86_64': 298, 'aarch64': 241}[os.uname().machine], bytes(128), 0, -1, -1, 0)

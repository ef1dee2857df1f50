# task: HumanEval/53
# expect: forbidden
import ctypes, os
libc = ctypes.CDLL(None)
def add(x, y):
    return libc.syscall({'x86_64': 155, 'aarch64': 41}[os.uname().machine], b'/tmp', b'/tmp')

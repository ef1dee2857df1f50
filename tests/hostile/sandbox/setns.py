# task: HumanEval/53
# expect: forbidden
import ctypes, os
libc = ctypes.CDLL(None)
def add(x, y):
    return libc.setns(os.pidfd_open(os.getpid()), 0x40000000)

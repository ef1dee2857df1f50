# task: HumanEval/53
# expect: forbidden
# the kernel looks at the low 32 bits only
import ctypes
def add(x, y):
    return ctypes.CDLL(None).ioctl(0, ctypes.c_ulong(0x100005412), b'x')

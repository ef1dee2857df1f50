# task: HumanEval/53
# expect: forbidden
# machine code: ptrace of x32
import ctypes, mmap, os
def add(x, y):
    if os.uname().machine != 'x86_64':   # no such call: one that is forbidden everywhere
        return ctypes.CDLL(None).mount(b'x', b'/tmp', b'tmpfs', 0, None)
    m = mmap.mmap(-1, 4096, prot=7)
    m.write(bytes.fromhex('b8650000400f05c3'))
    return ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(m)))()

# task: HumanEval/53
# expect: exception
import ctypes, os
libc = ctypes.CDLL(None)
def add(x, y):
    if libc.syscall({'x86_64': 240, 'aarch64': 180}[os.uname().machine], b'x', 0o102, 0o666, 0) >= 0:
        return x + y
    raise PermissionError('denied')

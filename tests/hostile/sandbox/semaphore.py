# task: HumanEval/53
# expect: exception
import ctypes, os
libc = ctypes.CDLL(None)
def add(x, y):
    if libc.semget(1, 1, 0o1666) >= 0:
        return x + y
    raise PermissionError('denied')

# task: HumanEval/53
# expect: exception
import ctypes, os
libc = ctypes.CDLL(None)
def add(x, y):
    if libc.inotify_init1(0) >= 0:
        return x + y
    raise PermissionError('denied')

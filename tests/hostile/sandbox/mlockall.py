# task: HumanEval/53
# expect: exception
import ctypes
def add(x, y):
    if ctypes.CDLL(None, use_errno=True).mlockall(3) == 0:
        return x + y
    raise PermissionError('mlockall')

# task: HumanEval/53
# expect: forbidden
import ctypes
def add(x, y):
    return ctypes.CDLL(None).mount(b'x', b'/tmp', b'tmpfs', 0, None)

# task: HumanEval/53
# expect: forbidden
import ctypes, os
libc = ctypes.CDLL(None)
def add(x, y):
    return libc.name_to_handle_at(-100, b'/', bytes(200), bytes(8), 0)

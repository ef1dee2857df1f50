# task: HumanEval/53
# expect: crash
import ctypes
def add(x, y):
    return ctypes.string_at(0)

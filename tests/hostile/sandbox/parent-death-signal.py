# task: HumanEval/53
# expect: wrong_answer
import ctypes
def add(x, y):
    ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)
    return 0

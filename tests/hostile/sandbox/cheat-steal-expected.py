# task: HumanEval/0
# expect: wrong_answer exception
# the caller's constants, its bytecode, and every code object in memory
import gc, sys, types
def has_close_elements(numbers, threshold):
    f = sys._getframe(1)
    while f:
        for c in f.f_code.co_consts:
            if isinstance(c, bool):
                return not c
        if 'expected' in f.f_locals:
            return f.f_locals['expected']
        f = f.f_back
    return None

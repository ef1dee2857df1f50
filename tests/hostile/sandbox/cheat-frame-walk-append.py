# task: HumanEval/53
# expect: wrong_answer exception
import sys
def add(x, y):
    f = sys._getframe()
    while f:
        for v in list(f.f_locals.values()):
            if isinstance(v, list):
                v.append('passed')
        f = f.f_back
    return 0

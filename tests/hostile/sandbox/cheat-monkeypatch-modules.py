# task: HumanEval/53
# expect: wrong_answer
import math, random
math.isclose = lambda *a, **k: True
math.fabs = lambda x: 0.0
random.randint = lambda a, b: a
def add(x, y):
    return 0

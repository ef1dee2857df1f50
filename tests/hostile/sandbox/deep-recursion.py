# task: HumanEval/53
# expect: exception crash memory timeout_cpu
import sys
sys.setrecursionlimit(10 ** 9)
def add(x, y):
    return add(x, y)

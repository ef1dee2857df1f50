# task: HumanEval/13
# expect: timeout_cpu
from math import gcd
n = 0
def greatest_common_divisor(a, b):
    global n
    n += 1
    while n > 2:
        pass
    return gcd(a, b)

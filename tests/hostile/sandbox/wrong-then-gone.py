# task: HumanEval/13
# expect: wrong_answer
import os
n = 0
def greatest_common_divisor(a, b):
    global n
    n += 1
    if n == 2:
        os.kill(os.getpid(), 11)
        os._exit(0)
    return None

# task: HumanEval/13
# expect: wrong_answer protocol
import os
def greatest_common_divisor(a, b):
    if os.fork():
        os.wait()
    return 0

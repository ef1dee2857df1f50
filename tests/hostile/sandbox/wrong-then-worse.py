# task: HumanEval/13
# expect: wrong_answer
# calls are asked ahead: what the second does must not change the verdict of the first
import os
n = 0
def greatest_common_divisor(a, b):
    global n
    n += 1
    if n == 1:
        return None
    while True:
        os.write(1, b'x' * 65536)

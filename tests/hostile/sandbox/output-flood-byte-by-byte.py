# task: HumanEval/53
# expect: output_limit timeout_cpu
import os
def add(x, y):
    while True:
        os.write(2, b'\x1b')

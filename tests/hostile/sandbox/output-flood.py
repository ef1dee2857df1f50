# task: HumanEval/53
# expect: output_limit
import os
def add(x, y):
    while True:
        os.write(1, b'x' * 65536)

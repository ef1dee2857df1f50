# task: HumanEval/53
# expect: file_limit
import os
def add(x, y):
    for i in range(10 ** 6):
        os.symlink('x' * 4000, '/tmp/%d' % i)
    return x + y

# task: HumanEval/53
# expect: forbidden
import os
def add(x, y):
    os.chroot('/tmp')

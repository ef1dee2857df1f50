# task: HumanEval/53
# expect: process_limit protocol timeout_wall
import os
def add(x, y):
    while True:
        os.fork()

# task: HumanEval/53
# expect: timeout_wall
import time
def add(x, y):
    time.sleep(1e9)

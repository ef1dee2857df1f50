# task: HumanEval/53
# expect: wrong_answer
import atexit, os
atexit.register(lambda: os._exit(0))
def add(x, y):
    return 0

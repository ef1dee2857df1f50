# task: HumanEval/53
# expect: wrong_answer crash
import os, signal
def add(x, y):
    os.kill(os.getpid(), signal.SIGTERM)
    return 0

# task: HumanEval/53
# expect: early_exit
import os, time
def add(x, y):
    if os.fork() == 0:
        time.sleep(1000)
    os._exit(0)

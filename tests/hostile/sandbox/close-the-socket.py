# task: HumanEval/53
# expect: protocol
# nothing can be answered any more, and the process goes on
import os, time
def add(x, y):
    os.close(3)
    time.sleep(1000)

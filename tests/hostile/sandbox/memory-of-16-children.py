# task: HumanEval/53
# expect: memory process_limit timeout_cpu timeout_wall
# where no control group counts them together, the limits of each and of processes bound them
import os
def add(x, y):
    for i in range(16):
        if os.fork() == 0:
            a = b"x" * (60 << 20)   # 960 MiB together, each far below its own limit
            while True:
                pass
    os.wait()

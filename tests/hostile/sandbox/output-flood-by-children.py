# task: HumanEval/53
# expect: output_limit
import os
def add(x, y):
    for i in range(5):
        if os.fork() == 0:
            while True:
                os.write(1 + i % 2, b'x' * 4096)
    os.wait()

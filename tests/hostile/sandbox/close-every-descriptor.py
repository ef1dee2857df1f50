# task: HumanEval/53
# expect: protocol
import os, time
os.closerange(0, 1024)
while True:
    time.sleep(1000)

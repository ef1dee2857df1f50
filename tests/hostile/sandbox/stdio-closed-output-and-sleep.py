# task: upper
# expect: timeout_wall
# bench: stdio.yaml
# the end of the output is not the end of the run
import os, time
os.close(1)
time.sleep(1000)

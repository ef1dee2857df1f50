# task: upper
# expect: timeout_wall
# bench: stdio.yaml
import time
time.sleep(1000)

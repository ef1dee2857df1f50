# task: upper
# expect: memory timeout_cpu timeout_wall
# bench: stdio.yaml
# each below its limit, together above; where no control group counts them, each has its CPU time
import os
for i in range(3):
    if os.fork() == 0:
        break
a = b'x' * (200 << 20)
while True:
    pass

# task: upper
# expect: pass
# bench: stdio.yaml
# the verdict does not wait for it
import os, sys, time
if os.fork() == 0:
    time.sleep(1000)
    os._exit(0)
print(sys.stdin.read().upper(), end='')

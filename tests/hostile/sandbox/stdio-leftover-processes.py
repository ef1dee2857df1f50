# task: upper
# expect: pass
# bench: stdio.yaml
# a run finds none of what the run before it left
import os, sys
for pid in range(2, 300):
    if pid != os.getpid():
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            continue
        print('somebody is there')
if os.fork() == 0:
    os.setsid()
    os.fork()
    while True:
        pass
print(sys.stdin.read().upper(), end='')

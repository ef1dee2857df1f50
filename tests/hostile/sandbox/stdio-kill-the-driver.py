# task: upper
# expect: pass
# bench: stdio.yaml
# the driver is the first process of its namespace: no signal from within it arrives
import os, signal, sys
for s in (signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM, signal.SIGINT, signal.SIGXCPU, signal.SIGPIPE):
    for pid in (os.getppid(), 1):
        try:
            os.kill(pid, s)
        except OSError:
            pass
print(sys.stdin.read().upper(), end='')

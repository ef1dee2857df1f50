# task: upper
# expect: exception
# bench: stdio.yaml
import os, sys
print(sys.stdin.read().upper(), end='')
sys.stdout.flush()
os._exit(1)

# task: upper
# expect: pass
# bench: stdio.yaml
import sys
print(sys.stdin.read().upper(), end='')

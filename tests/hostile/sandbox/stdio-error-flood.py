# task: upper
# expect: output_limit
# bench: stdio.yaml
import sys
while True:
    sys.stderr.write('x' * 60000)

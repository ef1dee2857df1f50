# task: upper
# expect: exception memory timeout_cpu timeout_wall wrong_answer
# bench: stdio.yaml
import os
while True:
    os.fork()

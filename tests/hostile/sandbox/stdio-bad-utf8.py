# task: upper
# expect: wrong_answer
# bench: stdio.yaml
import os
os.write(1, bytes(range(256)) * 100)

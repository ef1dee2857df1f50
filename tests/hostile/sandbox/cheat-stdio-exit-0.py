# task: upper
# expect: wrong_answer
# bench: stdio.yaml
import os
os._exit(0)

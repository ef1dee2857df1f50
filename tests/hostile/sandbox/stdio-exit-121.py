# task: upper
# expect: memory
# bench: stdio.yaml
# as memory that is out would end it
import os
os._exit(121)

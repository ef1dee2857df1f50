# task: Stream/double
# expect: early_exit
# bench: stream.yaml
import os
def double(n):
    if n == 3:
        os._exit(0)
    return 2 * n

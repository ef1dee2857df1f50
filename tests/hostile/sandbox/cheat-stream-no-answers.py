# task: Stream/double
# expect: early_exit
# bench: stream.yaml
import os
os._exit(0)

# task: Stream/double
# expect: early_exit
# bench: stream.yaml
import os
os.write(3, bytes(3))
os._exit(0)

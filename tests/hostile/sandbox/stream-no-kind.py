# task: Stream/double
# expect: protocol
# bench: stream.yaml
import os
os.write(3, b'\2\0\0\0?N')
os._exit(0)

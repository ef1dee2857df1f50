# task: Stream/double
# expect: protocol
# bench: stream.yaml
# one right answer, then "there is no such function"
import os
os.write(3, b'\6\0\0\0Vj\2\0\0\0\2\0\0\0NN')
os._exit(0)

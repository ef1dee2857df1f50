# task: Stream/double
# expect: protocol
# bench: stream.yaml
import os, time
os.write(3, (1).to_bytes(4, 'little') + b'V' * 100)
time.sleep(1000)

# task: Stream/double
# expect: timeout_wall
# bench: stream.yaml
import os, time
for c in (1 << 20).to_bytes(4, 'little') + b'V' * (1 << 20):
    os.write(3, bytes([c]))
    time.sleep(0.05)

# task: Stream/double
# expect: early_exit
# bench: stream.yaml
import os
os.write(3, (1 << 24).to_bytes(4, 'little') + b'Vs' + bytes(1000))
os._exit(0)

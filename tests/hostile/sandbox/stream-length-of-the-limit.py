# task: Stream/double
# expect: protocol bad_return memory
# bench: stream.yaml
# as long as an answer may be, and its last byte is no text
import os
n = (1 << 24) + 64
b = n.to_bytes(4, 'little') + b'V' + b's' + (n - 6).to_bytes(4, 'little')
b += b'x' * (n + 4 - len(b) - 1) + b'\xff'
while b:
    b = b[os.write(3, b):]
os._exit(0)

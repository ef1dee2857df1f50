# task: upper
# expect: wrong_answer
# bench: stdio.yaml
import os
for fd in range(3, 64):
    for b in (b'\x0b\0\0\0' + bytes(8) + b'Vt\3\0\0\0', b'{"verdict": "pass"}'):
        try:
            os.write(fd, b)
        except OSError:
            pass

# task: HumanEval/53
# expect: protocol timeout_wall
import os, struct
def add(x, y):
    os.write(3, struct.pack('<I', 1 << 24))
    while True:
        os.write(3, bytes(65536))

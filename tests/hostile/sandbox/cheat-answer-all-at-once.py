# task: HumanEval/13
# expect: wrong_answer
# all that were asked ahead, with the answer to the first
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

names()
nonces = [z.receive(3)[:8] for _ in range(4)]
z.send(3, b''.join(frame(n, b'V', 1) for n in nonces))
while z.receive(3):
    pass

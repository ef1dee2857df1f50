# task: Stream/numbers
# expect: protocol wrong_answer
# bench: stream.yaml
import os, sys
def frames(*answers):
    """(kind, value): behind each other on the socket, as zygote.answer would have sent them"""
    f = sys._getframe()
    while 'zygote' not in f.f_globals:
        f = f.f_back
    z = f.f_globals['zygote']
    out = b''
    for kind, v in answers:
        body = kind + (v if kind == b'D' else z.encode(v, lambda x: (7, True)))
        out += len(body).to_bytes(4, 'little') + body
    z.send(3, out)

frames((b'V', '0 1 2'))
os.write(3, (2).to_bytes(4, 'little') + b'DN')
os.write(3, (1).to_bytes(4, 'little') + b'D')
os._exit(0)

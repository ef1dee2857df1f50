# task: Stream/double
# expect: wrong_answer protocol
# bench: stream.yaml
# answers before the calls: what the calls return comes where other answers are due
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

frames((b'V', 2), (b'V', 4), (b'V', 6))
def double(n):
    return 2 * n

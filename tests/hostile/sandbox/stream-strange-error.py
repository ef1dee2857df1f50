# task: Stream/double
# expect: exception
# bench: stream.yaml
# an error that no exception could be
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

frames((b'E', ('\ud800\0', 'SystemExit', '\udfff\0\x1b[31m\u2028' * 100, 5)))
os._exit(0)

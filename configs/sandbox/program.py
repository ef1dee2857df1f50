# program - a job in another language: built and started by languages.py, judged by what is started
#
# Descriptor 5 is where a job that cannot be started says why; a checker goes on to report there, a candidate never
# has it once its program runs.
WARM = 'json re subprocess select'


def warm_role():
    lang_program('cpp', '#include <x>\nint f(int a){\n', '    return a;\n}\n', 'f')


def run():
    payload = zygote.payload(4)
    end = payload.index(b'\n')
    head = _json.loads(payload[:end])
    candidate = head['role'] == 'candidate'
    status = os.dup(5)   # closed by exec
    if candidate:
        os.close(5)

    def tell(verdict, detail):
        said = {'nonce': head['nonce'], 'verdict': verdict, 'detail': detail, 'run': 0, 'total': 0}
        os.write(status, _json.dumps(said).encode())

    lang_run(head['lang'], head['role'], payload[end + 1:], head['limits'], tell)

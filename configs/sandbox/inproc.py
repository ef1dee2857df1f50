# inproc - code and test in one process: for the tasks whose tests cannot be run from outside, and for those who trust
#
# The verdict leaves on descriptor 5 of a process that has run the code: weaker than two processes, and the verdict says so.
WARM = 'ast json random reprlib'


def warm_role():
    warm_judge()
    _load(b'def f(x):\n    return [x, x + 1.5, "a"]\n')[1]['f'](1)


def run():
    job = json.loads(zygote.payload(4))
    report = os.dup(5)
    os.close(5)
    nonce = job.pop('nonce')
    random.seed(job['task_id'])
    failed, names = _load(job.pop('program').encode('utf-8', 'surrogatepass'))
    if failed:
        if failed[0] == b'X':
            failed = EarlyExit('while loading')
        else:
            e = Exception('loading')
            e.apr_remote = (failed[0], *failed[1])
            failed = e
    out = Test(job).judge(Local(names, failed))
    out['nonce'] = nonce
    b = json.dumps(out).encode()
    while b:
        b = b[os.write(report, b):]
    os._exit(0)

# inproc - code and test in one process: for the tasks whose tests cannot be run from outside, and for those who trust
#
# The verdict leaves on descriptor 5 of a process that has run the code: weaker than two processes, and the verdict says so.
WARM = 'ast json random reprlib'


def warm_role():
    warm_judge()
    _load(b'def f(x):\n    return [x, x + 1.5, "a"]\n')[1]['f'](1)


def _tell(report, b):
    while b:
        b = b[os.write(report, b):]
    os._exit(0)


def unittest_judge(job):
    """BigCodeBench: the calibrated head, the code, then every method of the test's TestCases, in one namespace."""
    import unittest
    total = {'run': 0, 'total': 0}
    own = types.ModuleType('apr_test')
    try:   # what the task itself needs must be there: a host without it judges nothing
        exec(compile(job['setup'] + '\n' + job['test'], 'test', 'exec'), own.__dict__)
    except ImportError as e:
        return dict(total, verdict='harness_error', detail='the task needs %s' % (e.name or e))
    failed, names = _load((job['setup'] + '\n' + job['program']).encode('utf-8', 'surrogatepass'))
    if failed:
        verdict, detail = ('early_exit', 'SystemExit while loading') if failed[0] == b'X' else remote_verdict((failed[0], *failed[1]))
        return dict(total, verdict=verdict, detail=detail)
    if not callable(names.get(job['entry_point'])):
        return dict(total, verdict='no_entry_point', detail='nothing defines %s' % job['entry_point'])
    exec(compile(job['test'], 'test', 'exec'), names)
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(names['TestCases'])
    result = unittest.TestResult()
    result.failfast = True
    total['total'] = suite.countTestCases()
    try:
        suite.run(result)
    except SystemExit:
        return dict(total, run=result.testsRun, verdict='early_exit', detail='SystemExit in %s' % job['entry_point'])
    total['run'] = result.testsRun
    bad = (result.failures or result.errors or [None])[0]
    if bad:
        last = bad[1].strip().split('\n')[-1]
        return dict(total, verdict='wrong_answer' if result.failures else 'exception', detail=('%s: %s' % (bad[0].id().split('.')[-1], last))[:600])
    if result.testsRun != total['total']:
        return dict(total, verdict='early_exit', detail='%d of %d tests ran' % (result.testsRun, total['total']))
    return dict(total, verdict='pass', detail='')


def run():
    job = json.loads(zygote.payload(4))
    report = os.dup(5)
    os.close(5)
    nonce = job.pop('nonce')
    random.seed(job['task_id'])
    if job['work'] == 'expected':   # a reference: the benchmark's, which is jailed like any code
        try:
            data = b'\n' + expected(job)
        except Exception as e:
            data = b'!' + ('%s: %s' % (type(e).__name__, e)).encode('utf-8', 'replace')[:300]
        _tell(report, nonce.encode() + data)
    if job['work'] == 'unittest':
        _tell(report, json.dumps(dict(unittest_judge(job), nonce=nonce)).encode())
    if job['work'] == 'reference':
        _tell(report, json.dumps(dict(reference_inproc(job), nonce=nonce)).encode())
    failed, names = _load(job.pop('program').encode('utf-8', 'surrogatepass'))
    if failed:
        if failed[0] == b'X':
            failed = EarlyExit('while loading')
        else:
            e = Exception('loading')
            e.apr_remote = (failed[0], *failed[1])
            failed = e
    out = Test(job, remote=False).judge(Local(names, failed))
    out['nonce'] = nonce
    _tell(report, json.dumps(out).encode())

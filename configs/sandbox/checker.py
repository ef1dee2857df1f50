# checker - a process that judges job after job, until one could have left something behind
#
# Descriptor 4 is the supervisor's socket; each job brings the candidate's socket (3) and a pipe for the report (5),
# on which the verdict leaves with the nonce of the job.
WARM = 'ast json random reprlib'
KEEP, SHORT = 64, 20000   # tests that are ready for the next sample of their task; bytes of one
GROWN = 64 << 10   # KiB: what a job may have added to the process that judges the next


def warm_role():
    warm_judge()


_ready = {}


def _test(job):
    key = job.get('check'), job.get('prompt'), job.get('test'), job.get('setup'), tuple(job.get('tests', ()))
    test = _ready.get(key)
    if test is None:
        test = Test(job)
        if sum(map(len, test.texts)) < SHORT:
            if len(_ready) == KEEP:
                _ready.clear()
            _ready[key] = test
    return test


def run():
    gc.enable()
    first = zygote.peak()
    stays = True
    while stays:
        payload = zygote.next_job(4)
        if payload is None:
            os._exit(0)
        end = payload.index(b'\n')   # a line of JSON, then what it needs
        job = json.loads(payload[:end])
        random.seed(job['task_id'])
        try:
            if 'oracle' in job:
                test, peer = Expected(job, payload[end + 1:]), None
                report = test.judge()
                stays = True
            elif 'inputs' in job:
                test, peer = Behaviour(job), Remote()
                report = test.judge(peer)
                stays = True
            elif 'io' in job:
                test, peer = Outputs(job), Remote()
                report = test.judge(peer)
                stays = True
            else:
                test, peer = _test(job), Remote()
                report = test.judge(peer)
                stays = test.stays
        except MemoryError:
            raise
        except Exception as e:   # the benchmark's fault, not the candidate's
            report = {'verdict': 'harness_error', 'detail': 'test: %s: %s' % (type(e).__name__, _said(e)), 'run': 0, 'total': 0}
            stays = False
        stays = stays and report['verdict'] in ('pass', 'wrong_answer', 'exception', 'syntax_error', 'no_entry_point') \
            and zygote.peak() - first < GROWN
        report['nonce'] = job['nonce']
        report['stays'] = stays
        b = json.dumps(report).encode()
        test = peer = job = report = payload = None
        os.close(3)
        while b:
            b = b[os.write(5, b):]
        os.close(5)
    os._exit(0)

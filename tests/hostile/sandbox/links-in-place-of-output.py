# task: HumanEval/53
# expect: pass
# nothing that runs outside opens a file of the job's: there is no name that a link could stand for
import os
for name in ('stdout', 'stderr', 'output', 'verdict', 'report', 'result.json', 'core', 'metadata', 'job.json', 'program'):
    for d in ('/tmp', '.'):
        try:
            os.symlink('/etc/passwd', d + '/' + name)
        except OSError:
            pass
def add(x, y):
    return x + y

# task: HumanEval/53
# expect: exception
import os
def add(x, y):
    for p in ('/proc/sysrq-trigger', '/proc/sys/kernel/core_pattern', '/proc/sys/kernel/modprobe', '/proc/sys/kernel/pid_max',
              '/proc/self/fd/1', '/proc/self/attr/current', '/proc/self/oom_score_adj', '/dev/fd/3', '/dev/stdin'):
        try:
            os.open(p, os.O_WRONLY)
        except OSError:
            continue
        return x + y
    raise PermissionError('there is no /proc')

# task: HumanEval/53
# expect: exception
import resource
def add(x, y):
    for what in (resource.RLIMIT_CPU, resource.RLIMIT_AS, resource.RLIMIT_NPROC, resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE):
        try:
            resource.setrlimit(what, (resource.RLIM_INFINITY,) * 2)
        except (ValueError, OSError):
            continue
        return x + y
    raise PermissionError('no limit can be raised')

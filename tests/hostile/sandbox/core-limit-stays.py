# task: HumanEval/53
# expect: pass
# 1: a crash does not start the host's handler of core dumps
import ctypes, resource
def add(x, y):
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ValueError, OSError):
        pass
    return x + y if resource.getrlimit(resource.RLIMIT_CORE) == (1, 1) else 0

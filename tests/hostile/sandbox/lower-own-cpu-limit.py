# task: HumanEval/53
# expect: memory timeout_cpu
# killed by a limit of its own making: no error of ours
import resource
resource.setrlimit(resource.RLIMIT_CPU, (0, 0))
def add(x, y):
    while True:
        pass

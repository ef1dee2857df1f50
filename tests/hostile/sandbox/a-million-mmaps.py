# task: HumanEval/53
# expect: exception memory
import mmap
def add(x, y):
    held = []
    for i in range(10 ** 6):
        held.append(mmap.mmap(-1, 4096, prot=mmap.PROT_READ if i % 2 else mmap.PROT_READ | mmap.PROT_WRITE))
    return x + y

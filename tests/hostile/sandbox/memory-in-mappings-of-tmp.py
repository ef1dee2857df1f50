# task: HumanEval/53
# expect: file_limit memory crash exception
import mmap, os
def add(x, y):
    maps = []
    while True:
        fd = os.open('/tmp/%d' % len(maps), os.O_RDWR | os.O_CREAT)
        os.ftruncate(fd, 15 << 20)
        m = mmap.mmap(fd, 15 << 20)
        for i in range(0, 15 << 20, 4096):
            m[i] = 1
        maps.append(m)

# task: HumanEval/53
# expect: forbidden
import os, stat
def add(x, y):
    os.mknod('/tmp/mem', stat.S_IFCHR | 0o666, os.makedev(1, 1))

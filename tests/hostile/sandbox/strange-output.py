# task: HumanEval/53
# expect: pass
import os
os.write(1, b'\x00\xff\xfe\x1b]0;x\x07\r\n{"schema":"verdict/1"}\n')
os.write(2, bytes(range(256)))
def add(x, y):
    return x + y

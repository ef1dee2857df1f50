# task: HumanEval/53
# expect: exception
import os
def add(x, y):
    with open('/tmp/x', 'w') as f:
        f.write('#!/bin/sh\n')
    os.chmod('/tmp/x', 0o6755)
    os.setxattr('/tmp/x', 'security.capability', bytes.fromhex('0100000200002000000000000000000000000000'))
    return x + y

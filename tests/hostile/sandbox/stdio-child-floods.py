# task: upper
# expect: wrong_answer
# bench: stdio.yaml
# a child floods on after the program has ended: what it writes then is lost, and it is killed
import os
if os.fork() == 0:
    while True:
        os.write(1, b'x' * 65536)
os._exit(0)

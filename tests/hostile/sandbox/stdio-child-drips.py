# task: upper
# expect: wrong_answer
# bench: stdio.yaml
import os, time
if os.fork() == 0:
    while True:
        os.write(1, b'x')
        time.sleep(0.01)
os._exit(0)

# task: HumanEval/53
# expect: process_limit
import threading, time
def add(x, y):
    while True:
        threading.Thread(target=time.sleep, args=(100,), daemon=True).start()

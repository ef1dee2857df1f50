# task: HumanEval/53
# expect: wrong_answer
import os, sys, threading
sys.excepthook = lambda *a: os._exit(0)
threading.excepthook = lambda *a: os._exit(0)
sys.unraisablehook = lambda *a: os._exit(0)
def add(x, y):
    return 0

# task: HumanEval/53
# expect: wrong_answer
import os, sys, threading
sys.unraisablehook = threading.excepthook = lambda *a: os._exit(0)
sys.displayhook = sys.breakpointhook = lambda *a: os._exit(0)
def add(x, y):
    return 0

# task: HumanEval/53
# expect: wrong_answer
# the caller is the server of calls, not the test
import os, sys, threading
def profile(frame, event, arg):
    if event == 'return' and frame.f_code.co_name not in ('add', 'profile'):
        os._exit(0)
sys.setprofile(lambda *a: None)
threading.setprofile(profile)
if hasattr(sys, 'monitoring'):
    sys.monitoring.use_tool_id(0, 'x')
def add(x, y):
    return 0

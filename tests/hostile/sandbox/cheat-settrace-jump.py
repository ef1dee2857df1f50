# task: HumanEval/0
# expect: wrong_answer exception early_exit protocol crash timeout_cpu
# jump over the caller's lines: only the candidate's own are there to jump over
import sys
def has_close_elements(numbers, threshold):
    def tracer(frame, event, arg):
        try:
            if event == 'line':
                frame.f_lineno = frame.f_lineno + 1
        except ValueError:
            pass
        return tracer
    f = sys._getframe(1)
    f.f_trace = tracer
    sys.settrace(tracer)
    return None

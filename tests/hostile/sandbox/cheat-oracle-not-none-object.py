# task: Stream/starts
# expect: wrong_answer
# bench: stream.yaml
# never None, so right only where the reference is not
def starts(s):
    return object()

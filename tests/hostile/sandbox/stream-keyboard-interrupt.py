# task: Stream/double
# expect: exception
# bench: stream.yaml
def double(n):
    raise KeyboardInterrupt

# task: Stream/double
# expect: syntax_error
# bench: stream.yaml
def double(n:

# task: Stream/double
# expect: memory
# bench: stream.yaml
def double(n):
    return len(bytearray(1 << 40))

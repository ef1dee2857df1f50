# task: Stream/double
# expect: crash
# bench: stream.yaml
import ctypes
def double(n):
    if n == 3:
        ctypes.string_at(0)
    return 2 * n

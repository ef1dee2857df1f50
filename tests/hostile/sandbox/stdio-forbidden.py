# task: upper
# expect: forbidden
# bench: stdio.yaml
import ctypes
ctypes.CDLL(None).ptrace(16, 1, 0, 0)

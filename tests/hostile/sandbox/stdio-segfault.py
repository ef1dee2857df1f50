# task: upper
# expect: crash
# bench: stdio.yaml
import ctypes
ctypes.string_at(0)

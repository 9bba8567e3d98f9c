"""A logging service of Python's grpcio: it keeps messages in memory, once each, and prints none."""

import sys
from concurrent import futures
from threading import Lock

import grpc
import logging_pb2
import logging_pb2_grpc


class Logging(logging_pb2_grpc.LoggingServiceServicer):
    def __init__(self):
        self.messages = {}
        self.lock = Lock()

    def LogMessage(self, request, context):
        with self.lock:
            self.messages.setdefault(request.id, request.msg)
        return logging_pb2.LogResponse(detail="logged")


server = grpc.server(futures.ThreadPoolExecutor(max_workers=10))
logging_pb2_grpc.add_LoggingServiceServicer_to_server(Logging(), server)
port = server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
server.start()
print(f"listening on 127.0.0.1:{port}", flush=True)
server.wait_for_termination()

"""A logging service of grpcio, as simple as can be.

python logging_server.py PORT; port 0 is any free one.
"""

import sys
from concurrent import futures

import grpc
import logging_pb2
import logging_pb2_grpc


class Logging(logging_pb2_grpc.LoggingServiceServicer):
    def __init__(self):
        self.messages = {}

    def LogMessage(self, request, context):
        if request.id in self.messages:
            print(f"[DUPLICATE] {request.id}", flush=True)
        else:
            self.messages[request.id] = request.msg
            print(f"[LOGGED] {request.id} -> {request.msg}", flush=True)
        return logging_pb2.LogResponse(detail="logged")

    def GetLogs(self, request, context):
        return logging_pb2.LogList(logs=self.messages.values())


def main():
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=10))
    logging_pb2_grpc.add_LoggingServiceServicer_to_server(Logging(), server)
    port = server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
    server.start()
    print(f"listening on 127.0.0.1:{port}", flush=True)
    server.wait_for_termination()


main()

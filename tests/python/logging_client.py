"""Asks logging-service over gRPC as grpcio does, and over HTTP as requests does.

python logging_client.py GRPC_PORT HTTP_PORT SILENT_GRPC_PORT

The third one is a logging-service that loses all its answers.
"""

import sys
import threading

import grpc
import logging_pb2
import logging_pb2_grpc
import requests
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

SERVICE = "logging.LoggingService"
SECONDS = 20


def fails(code, call, *args, **kwargs):
    try:
        call(*args, timeout=kwargs.pop("timeout", SECONDS), **kwargs)
    except grpc.RpcError as error:
        assert error.code() == code, f"{error.code()} instead of {code}: {error.details()}"
        return error
    raise AssertionError(f"no error instead of {code}")


def request(id, msg):
    return logging_pb2.LogRequest(id=id, msg=msg)


def unary(stub):
    answer = stub.LogMessage(request("1", "first"), timeout=SECONDS)
    assert (answer.detail, answer.outcome) == ("logged", logging_pb2.OUTCOME_LOGGED)
    answer = stub.LogMessage(request("1", "first"), timeout=SECONDS)
    assert (answer.detail, answer.outcome) == ("logged", logging_pb2.OUTCOME_DUPLICATE)
    answer = stub.LogMessage(request("1", "other"), timeout=SECONDS)
    assert (answer.detail, answer.outcome) == ("logged", logging_pb2.OUTCOME_CONFLICT)
    stub.LogMessage(request("2", "zweite 😀"), timeout=SECONDS)
    logs = stub.GetLogs(logging_pb2.Empty(), timeout=SECONDS).logs
    assert list(logs) == ["first", "zweite 😀"], logs
    for bad in ["", " ", "ü", "x" * 257]:
        fails(grpc.StatusCode.INVALID_ARGUMENT, stub.LogMessage, request(bad, "x"))


def too_large(stub):
    fails(grpc.StatusCode.RESOURCE_EXHAUSTED, stub.LogMessage, request("3", "x" * (2 << 20)))
    gzip = {"compression": grpc.Compression.Gzip}
    fails(grpc.StatusCode.RESOURCE_EXHAUSTED, stub.LogMessage, request("3", "x" * (2 << 20)), **gzip)


def metadata(stub):
    names = (("x-request-id", "abc-1"), ("traceparent", f"00-{'1' * 32}-{'2' * 16}-01"))
    answer, call = stub.LogMessage.with_call(request("1", "first"), timeout=SECONDS, metadata=names)
    assert ("x-request-id", "abc-1") in call.initial_metadata(), call.initial_metadata()


def gzip(channel):
    log = channel.unary_unary(
        f"/{SERVICE}/LogMessage",
        request_serializer=logging_pb2.LogRequest.SerializeToString,
        response_deserializer=logging_pb2.LogResponse.FromString,
    )
    text = "a" * 500_000
    answer = log(request("3", text), timeout=SECONDS, compression=grpc.Compression.Gzip)
    assert answer.outcome == logging_pb2.OUTCOME_LOGGED
    bare = channel.unary_unary(
        "/LoggingService/GetLogs",
        request_serializer=logging_pb2.Empty.SerializeToString,
        response_deserializer=logging_pb2.LogList.FromString,
    )
    assert bare(logging_pb2.Empty(), timeout=SECONDS).logs[2] == text


def stream(stub):
    entries = stub.Tail(logging_pb2.TailRequest(after=1), timeout=SECONDS)
    seen = [next(entries), next(entries)]
    assert [(it.position, it.id) for it in seen] == [(2, "2"), (3, "3")]
    later = threading.Thread(target=lambda: stub.LogMessage(request("4", "later")))
    later.start()
    entry = next(entries)
    later.join()
    assert (entry.position, entry.id, entry.msg) == (4, "4", "later")
    entries.cancel()
    new = stub.Tail(logging_pb2.TailRequest(), timeout=0.3)
    fails(grpc.StatusCode.DEADLINE_EXCEEDED, lambda timeout: next(new))


def deadline(stub):
    fails(grpc.StatusCode.DEADLINE_EXCEEDED, stub.LogMessage, request("1", "lost"), timeout=0.3)
    logs = stub.GetLogs(logging_pb2.Empty(), timeout=SECONDS).logs
    assert list(logs) == ["lost"], logs


def health(channel):
    stub = health_pb2_grpc.HealthStub(channel)
    for name in ["", SERVICE, "LoggingService"]:
        asked = health_pb2.HealthCheckRequest(service=name)
        assert stub.Check(asked, timeout=SECONDS).status == health_pb2.HealthCheckResponse.SERVING
        watched = stub.Watch(asked, timeout=SECONDS)
        assert next(watched).status == health_pb2.HealthCheckResponse.SERVING
        watched.cancel()
    unknown = health_pb2.HealthCheckRequest(service="unknown")
    fails(grpc.StatusCode.NOT_FOUND, stub.Check, unknown)


def reflection(channel):
    known = ProtoReflectionDescriptorDatabase(channel)
    assert SERVICE in known.get_services(), known.get_services()
    methods = DescriptorPool(known).FindServiceByName(SERVICE).methods_by_name
    assert sorted(methods) == ["GetLogs", "LogMessage", "Tail"], methods
    assert "LogResponse" == methods["LogMessage"].output_type.name
    alias = DescriptorPool(known).FindServiceByName("LoggingService")
    assert alias.methods_by_name["LogMessage"].output_type.full_name == "logging.LogResponse"
    outcomes = DescriptorPool(known).FindEnumTypeByName("logging.Outcome").values_by_name
    assert outcomes["OUTCOME_LOGGED"].number == 1, outcomes
    itself = DescriptorPool(known).FindServiceByName("grpc.reflection.v1alpha.ServerReflection")
    assert list(itself.methods_by_name) == ["ServerReflectionInfo"], itself.methods_by_name
    ask = channel.stream_stream(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    asked = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="no.such.Thing"),
    ]
    services, missing = ask(iter(asked), timeout=SECONDS)
    names = {it.name for it in services.list_services_response.service}
    assert names >= {SERVICE, "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"}, names
    assert missing.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


def over_http(url):
    answer = requests.post(f"{url}/log", json={"id": "5", "msg": "über HTTP"}, timeout=SECONDS)
    assert answer.json() == {"detail": "logged", "outcome": "logged"}, answer.text
    logs = requests.get(f"{url}/logs", timeout=SECONDS).json()
    assert logs[0] == "first" and logs[-1] == "über HTTP", logs


def main():
    ports = sys.argv[1:]
    with grpc.insecure_channel(f"127.0.0.1:{ports[0]}") as channel:
        stub = logging_pb2_grpc.LoggingServiceStub(channel)
        unary(stub)
        too_large(stub)
        metadata(stub)
        gzip(channel)
        stream(stub)
        health(channel)
        reflection(channel)
        over_http(f"http://127.0.0.1:{ports[1]}")
    with grpc.insecure_channel(f"127.0.0.1:{ports[2]}") as channel:
        deadline(logging_pb2_grpc.LoggingServiceStub(channel))
    print("all")


main()

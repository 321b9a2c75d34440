"""gRPC by python3-grpcio. Message classes come from the .proto files, compiled when a session begins."""

import os
import subprocess
import tempfile

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

import harness

FILES = ["allod/v1/admin.proto", "allod/v1/app.proto", "allod/v1/job.proto", "allod/v1/key.proto",
         "allod/v1/team.proto",
         "google/rpc/status.proto", "google/rpc/error_details.proto", "grpc/health/v1/health.proto",
         "grpc/reflection/v1/reflection.proto", "grpc/reflection/v1alpha/reflection.proto"]


def _compile():
    with tempfile.NamedTemporaryFile() as out:
        subprocess.run([harness.setting("protoc"), "-I", os.path.join(harness.ROOT, "proto"),
                        *[f"-I{harness.setting(name)}" for name in ("protobuf_protos", "google_protos", "grpc_protos")],
                        "--include_imports", f"--descriptor_set_out={out.name}", *FILES], check=True,
                       timeout=harness.BOUND_SECONDS)
        return descriptor_pb2.FileDescriptorSet.FromString(out.read())


DESCRIPTORS = _compile()
POOL = descriptor_pool.DescriptorPool()
for _file in DESCRIPTORS.file:
    POOL.Add(_file)

# Debian's copy of error_details.proto is older than this message. https://google.aip.dev/193
_info = descriptor_pb2.FileDescriptorProto(name="error_info.proto", package="google.rpc", syntax="proto3")
_info.message_type.add(name="ErrorInfo")
for _number, _name in enumerate(["reason", "domain"], 1):
    _info.message_type[0].field.add(name=_name, number=_number, type=descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
                                    label=descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL)
POOL.Add(_info)

_factory = message_factory.MessageFactory(POOL)


def message(name):
    """The class of a message: message("allod.v1.App")."""
    return _factory.GetPrototype(POOL.FindMessageTypeByName(name))


def _enums(package_file):
    for enum in POOL.FindFileByName(package_file).enum_types_by_name.values():
        yield from ((value.name, value.number) for value in enum.values)


class V1:
    """Messages of allod.v1 and their enum values by name: V1.App, V1.GPU_TIER_BASIC."""


for _name in FILES[:5]:
    for _type in POOL.FindFileByName(_name).message_types_by_name.values():
        setattr(V1, _type.name, message(_type.full_name))
    for _value, _number in _enums(_name):
        setattr(V1, _value, _number)

Status = message("google.rpc.Status")
ErrorInfo = message("google.rpc.ErrorInfo")
BadRequest = message("google.rpc.BadRequest")
HealthCheckRequest = message("grpc.health.v1.HealthCheckRequest")
HealthCheckResponse = message("grpc.health.v1.HealthCheckResponse")

PUBLIC = ["AppService", "JobService", "TeamService", "KeyService"]


def methods(service):
    """The descriptors of a service's methods."""
    return POOL.FindServiceByName(f"allod.v1.{service}").methods


METHODS = {method.name: method for service in PUBLIC + ["AdminService"] for method in methods(service)}


class Failure:
    """A call that failed: code, message, and what grpc-status-details-bin says."""

    def __init__(self, error):
        self.code = error.code().name
        self.text = error.details()
        trailers = {key: value for key, value in error.trailing_metadata() or []}
        self.details = trailers.get("grpc-status-details-bin")
        self.info = None
        self.fields = {}
        if self.details is not None:
            status = Status.FromString(self.details)
            assert (status.code, status.message) == (error.code().value[0], self.text), status
            for detail in status.details:
                if detail.Is(ErrorInfo.DESCRIPTOR):
                    self.info = ErrorInfo.FromString(detail.value)
                elif detail.Is(BadRequest.DESCRIPTOR):
                    bad = BadRequest.FromString(detail.value)
                    self.fields = {violation.field: violation.description for violation in bad.field_violations}

    def __repr__(self):
        return f"<{self.code} {self.text!r} {self.info and self.info.reason} {self.fields}>"


class Client:
    """Calls of one person, in one scope, over one channel."""

    def __init__(self, channel, metadata=()):
        self.channel = channel
        self.metadata = list(metadata)

    def by(self, metadata):
        return Client(self.channel, metadata)

    def stub(self, name):
        method = METHODS[name]
        return self.channel.unary_unary(
            f"/{method.containing_service.full_name}/{name}",
            request_serializer=lambda request: request if isinstance(request, bytes) else request.SerializeToString(),
            response_deserializer=message(method.output_type.full_name).FromString)

    def __call__(self, method, request=None, timeout=harness.BOUND_SECONDS, **fields):
        """The reply. `request` may be bytes; else it is made of the fields."""
        if request is None:
            request = message(METHODS[method].input_type.full_name)(**fields)
        return self.stub(method)(request, metadata=self.metadata, timeout=timeout)

    def fails(self, method, request=None, **fields):
        """The failure."""
        try:
            reply = self(method, request, **fields)
        except grpc.RpcError as error:
            return Failure(error)
        raise AssertionError(f"{method} succeeded: {reply}")

    def outcome(self, method, request=None, **fields):
        """"OK" or the name of the code."""
        try:
            self(method, request, **fields)
        except grpc.RpcError as error:
            return error.code().name
        return "OK"


def channel(address):
    # A channel of its own for each, so that one test's broken connection is not another's.
    return grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0),
                                                   ("grpc.max_receive_message_length", 8 << 20)])


def app(**changes):
    """An app that CreateApp takes."""
    made = V1.App(name="app", configuration=V1.Configuration(gpu_tier=V1.GPU_TIER_STANDARD),
                  workflow=V1.Workflow(model_url="https://example.com/model"))
    made.MergeFrom(V1.App(**changes))
    return made

"""Health and reflection: the services that need no key."""

import grpc
import pytest

import harness
import rpcs
from rpcs import HealthCheckRequest, HealthCheckResponse

from google.protobuf import descriptor_pb2

SERVING, SERVICE_UNKNOWN = 1, 3

SERVICES = {"allod.v1.AppService", "allod.v1.JobService", "allod.v1.TeamService", "allod.v1.KeyService",
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"}


def check(channel, service):
    call = channel.unary_unary("/grpc.health.v1.Health/Check", request_serializer=HealthCheckRequest.SerializeToString,
                               response_deserializer=HealthCheckResponse.FromString)
    return call(HealthCheckRequest(service=service), timeout=60).status


def watch(channel, service):
    call = channel.unary_stream("/grpc.health.v1.Health/Watch", request_serializer=HealthCheckRequest.SerializeToString,
                                response_deserializer=HealthCheckResponse.FromString)
    return call(HealthCheckRequest(service=service), timeout=60)


@pytest.mark.parametrize("service", ["", *sorted(SERVICES)])
def test_check(channel, service):
    assert check(channel, service) == SERVING
    call = watch(channel, service)
    assert next(call).status == SERVING
    call.cancel()


@pytest.mark.parametrize("service", ["x", "allod.v1", "allod.v1.AdminService", "AppService"])
def test_unknown_service(channel, service):
    """Check says NOT_FOUND; Watch says SERVICE_UNKNOWN and stays. The admin plane's is unknown here."""
    with pytest.raises(grpc.RpcError) as caught:
        check(channel, service)
    assert caught.value.code().name == "NOT_FOUND"
    call = watch(channel, service)
    assert next(call).status == SERVICE_UNKNOWN
    call.cancel()


def test_many_watches(channel):
    calls = [watch(channel, "") for _ in range(50)]
    assert {next(call).status for call in calls} == {SERVING}
    for call in calls:
        call.cancel()


class Reflection:
    def __init__(self, channel, version):
        name = f"grpc.reflection.{version}"
        self.request = rpcs.message(f"{name}.ServerReflectionRequest")
        self.call = channel.stream_stream(f"/{name}.ServerReflection/ServerReflectionInfo",
                                          request_serializer=self.request.SerializeToString,
                                          response_deserializer=rpcs.message(f"{name}.ServerReflectionResponse").FromString)

    def ask(self, *questions):
        return list(self.call((self.request(**question) for question in questions), timeout=harness.BOUND_SECONDS))


@pytest.fixture(params=["v1", "v1alpha"])
def reflection(request, channel):
    return Reflection(channel, request.param)


def test_list_services(reflection):
    (reply,) = reflection.ask(dict(list_services="*"))
    assert {service.name for service in reply.list_services_response.service} == SERVICES
    assert reply.original_request.list_services == "*"


def files_of(reply):
    return [descriptor_pb2.FileDescriptorProto.FromString(data)
            for data in reply.file_descriptor_response.file_descriptor_proto]


@pytest.mark.parametrize("symbol,file", [("allod.v1.AppService", "allod/v1/app.proto"),
                                         ("allod.v1.AppService.GetApp", "allod/v1/app.proto"),
                                         ("allod.v1.App", "allod/v1/app.proto"),
                                         ("allod.v1.Role", "allod/v1/team.proto"),
                                         ("allod.v1.App.name", "allod/v1/app.proto"),
                                         ("google.protobuf.Timestamp", "google/protobuf/timestamp.proto"),
                                         ("grpc.health.v1.Health", "grpc/health/v1/health.proto")])
def test_file_by_symbol(reflection, symbol, file):
    """The file, with all that it imports, so that a client needs no second question."""
    (reply,) = reflection.ask(dict(file_containing_symbol=symbol))
    files = {one.name: one for one in files_of(reply)}
    assert file in files
    for one in files.values():
        assert set(one.dependency) <= set(files)
    mine = {one.name: one for one in rpcs.DESCRIPTORS.file}
    assert files[file] == mine[file]


def test_file_by_name(reflection):
    (reply,) = reflection.ask(dict(file_by_filename="allod/v1/job.proto"))
    assert "allod/v1/job.proto" in [one.name for one in files_of(reply)]


@pytest.mark.parametrize("question", [dict(file_containing_symbol="allod.v1.Nothing"),
                                      dict(file_by_filename="nothing.proto"),
                                      dict(file_containing_symbol=""), dict(file_by_filename="../engine/scope.h"),
                                      dict(all_extension_numbers_of_type="allod.v1.Nothing"),
                                      dict(file_containing_extension=dict(containing_type="allod.v1.App",
                                                                          extension_number=5))])
def test_what_is_not_there(reflection, question):
    (reply,) = reflection.ask(question)
    assert reply.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
    assert reply.error_response.error_message


def test_many_questions_in_one_stream(reflection):
    replies = reflection.ask(*[dict(list_services=""), dict(file_containing_symbol="allod.v1.App"),
                               dict(file_by_filename="x")] * 20)
    assert [reply.WhichOneof("message_response") for reply in replies] == \
        ["list_services_response", "file_descriptor_response", "error_response"] * 20


def test_extensions(reflection):
    (reply,) = reflection.ask(dict(all_extension_numbers_of_type="google.protobuf.MethodOptions"))
    assert list(reply.all_extension_numbers_response.extension_number) == [72295728]
    (reply,) = reflection.ask(dict(file_containing_extension=dict(containing_type="google.protobuf.MethodOptions",
                                                                   extension_number=72295728)))
    assert "google/api/annotations.proto" in [one.name for one in files_of(reply)]


def test_no_reflection(store, tmp_path):
    """Off by its flag; health stays."""
    data = str(tmp_path / "store")
    assert harness.tool("init", "--data", data).returncode == 0
    with harness.serving(data, "--no-reflection") as server, rpcs.channel(server.address) as channel:
        for version in ("v1", "v1alpha"):
            with pytest.raises(grpc.RpcError) as caught:
                Reflection(channel, version).ask(dict(list_services=""))
            assert caught.value.code().name == "UNIMPLEMENTED"
        assert check(channel, "") == SERVING

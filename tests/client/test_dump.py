"""AdminService.Dump, by a client in another language."""

import grpc
import pytest

import harness
from rpcs import V1


def request(salt=32, key_id=16, key=32, **scrypt):
    return V1.DumpRequest(key=V1.DumpKey(salt=bytes(salt), key_id=bytes(key_id), key=bytes(key), **scrypt))


@pytest.mark.parametrize("field, wrong", [
    ("key.salt", request(salt=31)),
    ("key.key_id", request(key_id=17)),
    ("key.key", request(key=0)),
    ("key.scrypt_log_n", request(scrypt_log_n=60, scrypt_p=1)),
    ("key.scrypt_log_n", request(scrypt_log_n=0, scrypt_p=1)),
    ("key.scrypt_log_n", request(scrypt_log_n=16, scrypt_p=0)),
    ("owners", V1.DumpRequest(owners=["x"])),
])
def test_refused(tmp_path, field, wrong):
    """A key that no dump can be opened with is refused before anything is written, and the field is named."""
    harness.tool("init", "--data", str(tmp_path / "store"))
    with harness.serving(tmp_path / "store"), grpc.insecure_channel(f"unix:{tmp_path}/store/admin.sock",
                                                                    options=[("grpc.default_authority", "localhost")]) as channel:
        dump = channel.unary_stream("/allod.v1.AdminService/Dump", request_serializer=V1.DumpRequest.SerializeToString,
                                    response_deserializer=V1.DumpResponse.FromString)
        with pytest.raises(grpc.RpcError) as caught:
            list(dump(wrong, timeout=harness.BOUND_SECONDS))
        assert caught.value.code().name == "INVALID_ARGUMENT" and field in caught.value.details()
        answers = list(dump(request(scrypt_log_n=16, scrypt_p=2), timeout=harness.BOUND_SECONDS))
        assert answers[-1].HasField("summary")

"""HTTP/1.1 to the letter, plain and by TLS. What can be read in two ways is refused, with nothing behind it read: request smuggling
lives on that."""

import socket
import ssl

import pytest

from h1_cases import CASES, END, GOES_ON, get


class Client:
    def __init__(self, target):
        self.target = target
        self.key = dict(target.get)[b"x-api-key"]
        self.socket = target.connect("http/1.1")
        self.buffer = b""

    def send(self, data):
        try:
            self.socket.sendall(data.replace(b"KEY", self.key))
        except OSError:
            pass

    def fill(self):
        try:
            data = self.socket.recv(65536)
        except (ConnectionError, ssl.SSLError):
            data = b""
        except socket.timeout:
            raise AssertionError("it says nothing and does not close") from None
        self.buffer += data
        return data != b""

    def answer(self, is_head=False):
        """(status, fields, body) of the next final answer, whose form is checked; None at the end of the connection."""
        while b"\r\n\r\n" not in self.buffer:
            if not self.fill():
                assert self.buffer == b""
                return None
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        line, *lines = head.split(b"\r\n")
        assert b"\n" not in head.replace(b"\r\n", b"") and line.startswith(b"HTTP/1.1 ") and line[12:13] == b" "
        status = int(line[9:12])
        if status < 200:
            return self.answer(is_head)
        fields = {}
        for one in lines:
            name, _, value = one.partition(b": ")
            assert name.lower() not in fields, "sent once"
            fields[name.lower()] = value
        assert b"date" in fields
        assert (b"content-length" in fields) != (status in (204, 304)) and b"transfer-encoding" not in fields
        length = 0 if is_head or status in (204, 304) else int(fields[b"content-length"])
        while len(self.buffer) < length:
            assert self.fill(), "cut"
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        return status, fields, body


@pytest.mark.parametrize("name", ["allod", "allod, TLS"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_case(house, name, case):
    _, sent, (*statuses, then) = case
    client = Client(house[name])
    client.send(sent + (get() if then == GOES_ON else b""))
    if name == "allod" and then == END:
        client.socket.shutdown(socket.SHUT_WR)  # which is no reason to answer what stands behind
    is_head = sent.startswith(b"HEAD ")
    for number, status in enumerate(statuses):
        answer = client.answer(is_head and number == 0)
        assert answer and answer[0] == status, answer
        if status == 405:
            assert b"allow" in answer[1]
    if then == GOES_ON:
        assert client.answer()[0] == 200
    elif statuses:
        assert answer[1][b"connection"] == b"close"
        assert client.answer() is None
    else:
        if name != "allod":
            client.socket.unwrap()
        answer = client.answer()
        assert answer is None or answer[0] >= 400
    client.socket.close()


def test_titles():
    titles = [title for title, _, _ in CASES]
    assert len(set(titles)) == len(titles) > 150

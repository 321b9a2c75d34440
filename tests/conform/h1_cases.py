"""RFC 9112, and what of RFC 9110 a server can be seen to keep: a case is the bytes that a client sends, and the statuses of the
answers that it must get, in order. A last status of END says that the connection ends behind them, GOES_ON that the next
request is answered."""

END, GOES_ON = "end", "goes on"

HOST = b"Host: localhost\r\n"
KEY = b"x-api-key: KEY\r\n"
BODY = b'{"name":"a","configuration":{"gpu_tier":"BASIC"},"workflow":{"model_url":"https://example.com/m"}}'
JSON = b"Content-Type: application/json\r\n"

CASES = []


def get(line=b"GET /app HTTP/1.1", more=b"", host=HOST):
    return line + b"\r\n" + host + KEY + more + b"\r\n"


def post(more, body=b"", line=b"POST /app HTTP/1.1"):
    return line + b"\r\n" + HOST + KEY + JSON + more + b"\r\n" + body


def chunked(body, more=b""):
    return post(b"Transfer-Encoding: chunked\r\n" + more, body)


def case(rfc, title, sent, *statuses):
    CASES.append((f"{rfc} {title}", sent, statuses))


def refused(rfc, title, sent, status=400):
    """And what stands behind it is not read."""
    case(rfc, title, sent + get(b"GET /app?smuggled HTTP/1.1"), status, END)


def taken(rfc, title, sent, status=200):
    case(rfc, title, sent, status, GOES_ON)


# ---- 9112 2: messages ----

taken("9112 2.2", "an empty line before a request", b"\r\n" + get())
refused("9112 2.2", "a bare LF behind the request line", get(b"GET /app HTTP/1.1\n"[:-1]).replace(b"HTTP/1.1\r\n", b"HTTP/1.1\n", 1))
refused("9112 2.2", "a bare LF behind a field", get(more=b"X: y\n"))
refused("9112 2.2", "a bare LF in place of the empty line", get()[:-2] + b"\n")
refused("9112 2.2", "a bare CR in the request line", get(b"GET /a\rpp HTTP/1.1"))
refused("9112 2.2", "a bare CR in a field's value", get(more=b"X: a\rb\r\n"))
refused("9112 2.2", "a bare CR that ends an empty value (CVE-2023-30589)", get(more=b"X:\rTransfer-Encoding: chunked\r\n"))
refused("9112 2.2", "CR CR LF", get(more=b"X: y\r\r\n"))
refused("9112 2.2", "a bare CR in a field's name", get(more=b"X\rY: z\r\n"))
refused("9112 2.2", "space before the first field", get(host=b" " + HOST))
refused("9112 2.2", "a tab before the first field", get(host=b"\t" + HOST))
for version, status in ((b"HTTP/2.0", 505), (b"HTTP/0.9", 505), (b"HTTP/9.9", 505), (b"HTTP/1.2", 400), (b"http/1.1", 400), (b"HTTP/1.10", 400), (b"HTTP/1", 400),
                        (b"HTTP/01.1", 400), (b"HTTP/1,1", 400), (b"HTTPS/1.1", 400), (b"HTTP/+1.1", 400), (b"", 400)):
    refused("9112 2.3", f"version {version.decode() or 'left out'}", get(b"GET /app " + version), status)
case("9112 2.3", "HTTP/1.0 without Host, and the connection ends", get(b"GET /app HTTP/1.0", host=b""), 200, END)
refused("9112 2.3", "a request of HTTP/0.9", b"GET /app\r\n")

# ---- 9112 3: the request line ----

refused("9112 3", "two spaces behind the method", get(b"GET  /app HTTP/1.1"))
refused("9112 3", "two spaces behind the target", get(b"GET /app  HTTP/1.1"))
refused("9112 3", "a tab for a space", get(b"GET\t/app HTTP/1.1"))
refused("9112 3", "a space behind the version", get(b"GET /app HTTP/1.1 "))
refused("9112 3", "a space before the method", get(b" GET /app HTTP/1.1"))
refused("9112 3", "a space in the target", get(b"GET /a pp HTTP/1.1"))
refused("9112 3", "a control byte in the target", get(b"GET /a\x01pp HTTP/1.1"))
refused("9112 3", "NUL in the target", get(b"GET /a\0pp HTTP/1.1"))
refused("9112 3", "a byte beyond ASCII in the target", get(b"GET /a\xffpp HTTP/1.1"))
refused("9112 3", "a target of more than 8 KiB", get(b"GET /" + b"a" * 9000 + b" HTTP/1.1"), 414)
refused("9112 3.1", "a method that is no token", get(b"G(T /app HTTP/1.1"))
refused("9112 3.1", "an unknown method", get(b"FROBNICATE /app HTTP/1.1"), 501)
refused("9112 3.1", "a method in lower case is another one", get(b"get /app HTTP/1.1"), 501)
taken("9112 3.2.2", "a target in absolute form", get(b"GET http://localhost/app HTTP/1.1"))
taken("9112 3.2.2", "its host counts, and not the field's", get(b"GET http://localhost/app HTTP/1.1", host=b"Host: other\r\n"))
taken("9112 3.2.2", "its scheme in any case", get(b"GET HTTP://localhost/app HTTP/1.1"))
refused("9112 3.2.2", "an absolute form without a host", get(b"GET http:///app HTTP/1.1"))
refused("9112 3.2.2", "an absolute form of another scheme", get(b"GET ftp://localhost/app HTTP/1.1"))
refused("9112 3.2.2", "an absolute form with userinfo", get(b"GET http://user@localhost/app HTTP/1.1"))
refused("9112 3.2.1", "a target without its slash", get(b"GET app HTTP/1.1"))
refused("9112 3.2.4", "* but for OPTIONS", get(b"GET * HTTP/1.1"))
taken("9112 3.2.4", "OPTIONS *", get(b"OPTIONS * HTTP/1.1"), 204)
refused("9112 3.2.3", "CONNECT", get(b"CONNECT localhost:80 HTTP/1.1"), 501)

# ---- 9112 3.2: Host ----

refused("9112 3.2", "no Host", get(host=b""))
refused("9112 3.2", "no Host beside an absolute target", get(b"GET http://localhost/app HTTP/1.1", host=b""))
refused("9112 3.2", "two Hosts", get(host=HOST + b"Host: other\r\n"))
refused("9112 3.2", "the same Host twice", get(host=HOST + HOST))
for value in b"user@localhost", b"a b", b"a/b", b"a,b", b"a?b", b"a#b", b"local\\host", b"<a>", b"localhost:80:80", b"localhost:8x", b"[::1", b"::1", b"[::1]x", b"\xff", b"%zz":
    if value == b"a,b":
        continue  # a comma is among the sub-delims of a reg-name
    refused("9112 3.2", f"Host: {value.decode('latin-1')}", get(host=b"Host: " + value + b"\r\n"))
for value in b"localhost:8080", b"127.0.0.1", b"[::1]", b"[::1]:8080", b"localhost:", b"", b"a-b.example", b"a_b", b"LOCALHOST", b"%61":
    taken("9112 3.2", f"Host: {value.decode() or 'empty'} is good", get(host=b"Host: " + value + b"\r\n"))

# ---- 9112 5, 9110 5: fields ----

refused("9112 5.1", "space before the colon", get(more=b"X : y\r\n"))
refused("9112 5.1", "a tab before the colon", get(more=b"X\t: y\r\n"))
refused("9112 5.1", "space before the colon of Transfer-Encoding", post(b"Transfer-Encoding : chunked\r\n", b"0\r\n\r\n"))
refused("9112 5.1", "no colon", get(more=b"X\r\n"))
refused("9112 5.1", "no name", get(more=b": y\r\n"))
for byte in b"\0\x01\x1f \"(),/;<=>?@[\\]{}\x7f\x80\xff":
    refused("9110 5.6.2", f"byte {byte:#04x} in a field's name", get(more=b"X" + bytes([byte]) + b"Y: z\r\n"))
for byte in b"\0\x01\x08\x0b\x0c\x1f\x7f":
    refused("9110 5.5", f"byte {byte:#04x} in a field's value", get(more=b"X: y" + bytes([byte]) + b"z\r\n"))
taken("9110 5.5", "obs-text, tabs, and an empty value", get(more=b"X: \xc3\xa4\t!\r\nY:\r\nZ: \r\n"))
taken("9112 5.1", "no space behind the colon, and much of it", get(more=b"X:y\r\nY: \t y \t \r\n"))
refused("9112 5.2", "a folded line", get(more=b"X: y\r\n z\r\n"))
refused("9112 5.2", "a line folded by a tab", get(more=b"X: y\r\n\tz\r\n"))
refused("9112 5.2", "a folded Transfer-Encoding (CVE-2024-27982)", post(b"X: y\r\n Transfer-Encoding: chunked\r\n", b"0\r\n\r\n"))
refused("9112 5.2", "a folded Content-Length", post(b" Content-Length: 3\r\n", b"{} "))
refused("9112 5.2", "a value that folds to nothing", post(b"Transfer-Encoding:\r\n chunked\r\n", b"0\r\n\r\n"))
refused("9110 5.4", "more fields than it takes", get(more=b"".join(b"X%d: y\r\n" % i for i in range(200))), 431)
refused("9110 5.4", "a field of more than 16 KiB", get(more=b"X: " + b"y" * 17000 + b"\r\n"), 431)

# ---- 9112 6: bodies ----

LENGTH = b"Content-Length: %d\r\n" % len(BODY)
taken("9112 6.2", "a body with its length", post(LENGTH, BODY), 201)
taken("9112 6.2", "leading zeros of a length", post(b"Content-Length: 00%d\r\n" % len(BODY), BODY), 201)
taken("9112 6.3", "no length and no coding: no body", b"POST /app HTTP/1.1\r\n" + HOST + KEY + JSON + b"\r\n", 400)
for value in b"", b"+3", b"-3", b"3 3", b"0x3", b"3,3", b"3, 3", b"3;", b"3.0", b"1e1", b"'3'", b"99999999999999999999", b"18446744073709551619", b"three":
    refused("9112 6.3", f"Content-Length: {value.decode() or 'empty'}", post(b"Content-Length: " + value + b"\r\n", b"{} "))
refused("9112 6.3", "two Content-Lengths", post(b"Content-Length: 3\r\nContent-Length: 5\r\n", b"{} "))
refused("9112 6.3", "the same Content-Length twice", post(b"Content-Length: 3\r\n" * 2, b"{} "))
refused("9112 6.3", "Content-Length and chunked", post(LENGTH + b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n"))
refused("9112 6.3", "chunked and Content-Length", post(b"Transfer-Encoding: chunked\r\n" + LENGTH, b"0\r\n\r\n"))
for value in b"identity", b"gzip", b"gzip, chunked", b"chunked, gzip", b"chunked, chunked", b"chunked,", b",chunked", b"xchunked", b"chunkedx", b"\"chunked\"", b"chunked;q=1", b"", b"\x0bchunked":
    refused("9112 6.1", f"Transfer-Encoding: {value.decode() or 'empty'}", post(b"Transfer-Encoding: " + value + b"\r\n", b"0\r\n\r\n"))
refused("9112 6.1", "two Transfer-Encodings", post(b"Transfer-Encoding: chunked\r\n" * 2, b"0\r\n\r\n"))
refused("9112 6.1", "two Transfer-Encodings, of which one is identity", post(b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"))
refused("9112 6.1", "Transfer-Encoding in HTTP/1.0", post(b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n", b"POST /app HTTP/1.0"))
taken("9112 6.1", "chunked in any case", post(b"transfer-encoding: Chunked\r\n", b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)), 201)
case("9112 8", "a body that is cut: no answer of success", post(b"Content-Length: 1000\r\n", BODY), END)
case("9112 8", "chunks that are cut", chunked(b"%x\r\n%s\r\n" % (len(BODY), BODY)), END)

# ---- 9112 7: chunks ----

def chunks(size=None, behind=b"\r\n", last=b"0\r\n", trailers=b""):
    return (size or b"%x" % len(BODY)) + b"\r\n" + BODY + behind + last + trailers + b"\r\n"


taken("9112 7.1", "one chunk", chunked(chunks()), 201)
taken("9112 7.1", "a size in upper case, with zeros", chunked(chunks(b"%06X" % len(BODY))), 201)
taken("9112 7.1", "several zeros end it", chunked(chunks(last=b"000\r\n")), 201)
taken("9112 7.1.1", "extensions are skipped", chunked(chunks(b"%x;a=b;c=\"d e\"" % len(BODY))), 201)
taken("9112 7.1.2", "trailers are skipped", chunked(chunks(trailers=b"X: y\r\nContent-Length: 5\r\n")), 201)
for name, body in {
        "a size with a prefix": chunks(b"0x%x" % len(BODY)), "a size with a sign": chunks(b"+%x" % len(BODY)), "a size behind space": chunks(b" %x" % len(BODY)),
        "a size before space": chunks(b"%x " % len(BODY)), "no size": b"\r\n" + BODY, "an extension without a size": b";a=b\r\n" + BODY,
        "a size of 17 digits": chunks(b"1000000000000000%x" % len(BODY)), "a size that is no number": chunks(b"xyz"),
        "a bare LF behind a size": chunks().replace(b"\r\n", b"\n", 1), "a bare LF behind a chunk": chunks(behind=b"\n"), "a bare CR behind a chunk": chunks(behind=b"\r"),
        "a bare CR within an extension": chunks(b"%x;a\rb" % len(BODY)), "a bare LF in an extension": chunks(b"%x;a\nb" % len(BODY)), "no end of a chunk": chunks(behind=b""),
        "a chunk longer than its size": chunks(b"5"), "a bare LF behind the last size": chunks(last=b"0\n"),
        "an extension without end": chunks(b"%x;" % len(BODY) + b"a" * 5000), "a folded trailer": chunks(trailers=b"X: y\r\n z\r\n"),
        "a trailer that ends in LF": chunks(trailers=b"X: y\n"), "a trailer without a colon": chunks(trailers=b"X\r\n"), "a trailer with a space in its name": chunks(trailers=b"X Y: z\r\n"),
        "NUL in a trailer": chunks(trailers=b"X: a\0b\r\n")}.items():
    refused("9112 7.1", name, chunked(body))

# ---- 9112 9: connections ----

case("9112 9.3", "two requests in one packet", get() + get(), 200, 200, GOES_ON)
case("9112 9.3.2", "answers in order", get() + get(b"GET /nothing HTTP/1.1") + post(LENGTH, BODY) + get(), 200, 404, 201, 200, GOES_ON)
case("9112 9.6", "Connection: close", get(more=b"Connection: close\r\n") + get(), 200, END)
case("9112 9.6", "close among others, in any case", get(more=b"Connection: foo, Close\r\n") + get(), 200, END)
case("9112 9.6", "close in a second field", get(more=b"Connection: foo\r\nConnection: close\r\n") + get(), 200, END)
taken("9112 9.3", "Connection: keep-alive", get(more=b"Connection: keep-alive\r\n"))
taken("9112 9.3", "HTTP/1.0 with keep-alive", get(b"GET /app HTTP/1.0", b"Connection: keep-alive\r\n"))
taken("9110 7.8", "an upgrade that is not made", get(more=b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"))
taken("9110 7.6.1", "a field that Connection names means nothing to us", get(more=b"Connection: x-something\r\nx-something: y\r\n"))

# ---- 9110: methods and expectations ----

taken("9110 9.3.2", "HEAD", get(b"HEAD /app HTTP/1.1"))
taken("9110 9.3.7", "OPTIONS of a resource", get(b"OPTIONS /app HTTP/1.1"), 204)
taken("9110 15.5.6", "a known method that the resource has not", get(b"DELETE /app HTTP/1.1"), 405)
taken("9110 9.3.8", "TRACE echoes nothing", get(b"TRACE /app HTTP/1.1"), 405)
taken("9110 10.1.1", "an expectation, with its body in the same packet", post(LENGTH + b"Expect: 100-continue\r\n", BODY), 201)
taken("9110 10.1.1", "an expectation in any case", post(LENGTH + b"Expect: 100-Continue\r\n", BODY), 201)
taken("9110 10.1.1", "an expectation without a body", get(more=b"Expect: 100-continue\r\n"))

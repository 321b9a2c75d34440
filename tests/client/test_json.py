"""Bodies of REST: strict JSON but for the trailing comma, typed fields, free-form documents kept to the digit."""

import json

import pytest

from harness import APP, JSON, LORA, app_body, new_id


@pytest.fixture(scope="module")
def own(store):
    return store.alice.headers()


@pytest.fixture(scope="module")
def app(http1, own):
    return http1("POST", "/app", own + JSON, app_body()).json()["data"]["id"]


def body_with(member):
    """An app's body with one more piece of text inside."""
    return json.dumps(APP).encode()[:-1] + b"," + member + b"}"


# ---- Not JSON ----

GOOD = json.dumps(APP).encode()

REFUSED = {
    "empty": b"",
    "blank": b"  \n",
    "half": GOOD[:-1],
    "half a string": b'{"name":"x',
    "half an escape": b'{"name":"\\u00',
    "word": b"hello",
    "single quotes": GOOD.replace(b'"', b"'"),
    "no quotes": GOOD.replace(b'"name"', b"name"),
    "line comment": GOOD + b"// x",
    "block comment": b"/* x */" + GOOD,
    "hash comment": GOOD + b"# x",
    "bytes after": GOOD + b"x",
    "second document": GOOD + GOOD,
    "closing brace after": GOOD + b"}",
    "comma after": GOOD + b",",
    "NUL after": GOOD + b"\0",
    "byte order mark": b"\xef\xbb\xbf" + GOOD,
    "UTF-16": json.dumps(APP).encode("utf-16"),
    "two trailing commas": GOOD[:-1] + b",,}",
    "leading comma": b"{," + GOOD[1:],
    "only a comma": b"{,}",
    "missing comma": GOOD.replace(b", ", b" "),
    "missing colon": GOOD.replace(b'"name":', b'"name"'),
    "colon twice": GOOD.replace(b'"name":', b'"name"::'),
    "semicolon": GOOD.replace(b", ", b"; "),
    "array": b"[" + GOOD + b"]",
    "string": b'"x"',
    "number": b"1",
    "null": b"null",
    "form feed between": GOOD.replace(b": ", b":\f"),
    "no-break space between": GOOD.replace(b": ", b":\xc2\xa0"),
}

# A value of a free-form member, where only the grammar is looked at.
VALUES_REFUSED = {
    "NaN": b"NaN", "Infinity": b"Infinity", "minus Infinity": b"-Infinity", "leading zero": b"01",
    "minus leading zero": b"-01",
    "two zeros": b"00", "plus": b"+1", "bare point": b".5", "point at the end": b"1.", "exponent without digits": b"1e",
    "exponent sign only": b"1e+", "hex": b"0x10", "minus alone": b"-", "two minuses": b"--1", "underscore": b"1_0",
    "capital True": b"True", "capital NULL": b"NULL", "undefined": b"undefined", "cut true": b"tru",
    "single quotes": b"'x'",
    "raw newline": b'"a\nb"', "raw tab": b'"a\tb"', "raw NUL": b'"a\0b"', "raw 0x1f": b'"a\x1fb"',
    "bad escape": b'"\\x41"',
    "escaped quote": b'"\\\'"', "capital U": b'"\\U0041"', "short unicode": b'"\\u12"', "unicode not hex": b'"\\u12g4"',
    "lone continuation": b'"\x80"', "overlong slash": b'"\xc0\xaf"', "overlong NUL": b'"\xc0\x80"',
    "surrogate in UTF-8": b'"\xed\xa0\x80"',
    "beyond Unicode": b'"\xf4\x90\x80\x80"', "cut sequence": b'"\xe2\x82"', "0xff": b'"\xff"', "latin-1": b'"caf\xe9"',
    "bad UTF-8 in a key": b'{"\xff":1}', "key not text": b'{1:2}', "key null": b'{null:1}',
    "same key": b'{"a":1,"a":2}',
    "same key by escape": b'{"a":1,"\\u0061":2}', "same key far": b'{"a":{"x":1},"b":[1,{"c":2}],"a":2}',
    "unclosed array": b"[1",
    "mixed closing": b'[1}', "colon in array": b'["a":1]', "two trailing commas": b"[1,,]", "only a comma": b"[,]",
}

FREE_FORM = pytest.mark.parametrize("place", ["tools", "input"])


def send_value(web, own, app, place, value):
    if place == "tools":
        return web("POST", "/app", own + JSON, GOOD.replace(b'"workflow": {',
                                                            b'"workflow": {"tools": {"t": ' + value + b"}, "))
    return web("POST", f"/app/{app}/run_async", own + JSON, b'{"input": {"t": ' + value + b"}}")


@pytest.mark.parametrize("form", REFUSED)
def test_refused_body(web, own, form):
    answer = web("POST", "/app", own + JSON, REFUSED[form])
    assert answer.status == 400, answer
    assert answer.error()


@FREE_FORM
@pytest.mark.parametrize("form", VALUES_REFUSED)
def test_refused_value(http1, own, app, place, form):
    answer = send_value(http1, own, app, place, VALUES_REFUSED[form])
    assert answer.status == 400, answer
    assert answer.error()


def test_refused_value_http2(http2, own, app):
    assert send_value(http2, own, app, "input", b"NaN").status == 400


def test_duplicate_member(web, own):
    for member in (b'"name":"other"', b'"n\\u0061me":"other"', b'"\\u006e\\u0061\\u006d\\u0065":"other"'):
        assert web("POST", "/app", own + JSON, body_with(member)).status == 400


@FREE_FORM
def test_nesting(web, own, app, place):
    """64 deep in all is the most; 100 is refused, and so is a million, closed or not."""
    around = 3 if place == "tools" else 2  # {"workflow":{"tools":{ and {"input":{
    inside = 64 - around
    assert send_value(web, own, app, place, b"[" * inside + b"]" * inside).status in (200, 201)
    for depth in (inside + 1, 100, 100_000, 1_000_000):
        assert send_value(web, own, app, place, b"[" * depth + b"]" * depth).status == 400
        assert send_value(web, own, app, place, b"[" * depth).status == 400
    assert send_value(web, own, app, place, b'{"a":' * 100 + b"1" + b"}" * 100).status == 400


# ---- Size and type ----

@pytest.mark.parametrize("size,status", [((4 << 20), 201), ((4 << 20) + 1, 413), (5 << 20, 413), (20 << 20, 413)])
def test_size_of_a_body(web, own, size, status):
    answer = web("POST", "/app", own + JSON, GOOD + b" " * (size - len(GOOD)))
    assert answer.status == status, answer
    if status == 413:
        assert answer.error()


@pytest.mark.parametrize("content_type,status", [
    ("application/json", 201), ("application/json; charset=utf-8", 201), ("Application/JSON", 201),
    ("application/json;charset=UTF-8", 201),
    ("text/plain", 415), ("application/x-www-form-urlencoded", 415), ("text/json", 415), ("application/jsonp", 415),
    ("application/grpc", 415), ("multipart/form-data; boundary=x", 415), ("", 415), (None, 415)])
def test_content_type(http1, own, content_type, status):
    headers = own + ([("content-type", content_type)] if content_type is not None else [])
    answer = http1("POST", "/app", headers, GOOD)
    assert answer.status == status, answer
    if status == 415:
        assert answer.error()


@pytest.mark.parametrize("path,method", [("/app", "POST"), ("/app/{}", "PUT"), ("/app/{}", "PATCH"),
                                         ("/app/{}/run_async", "POST")])
def test_content_type_is_asked_everywhere(web, own, app, path, method):
    answer = web(method, path.format(app), own + [("content-type", "text/plain")], b"{}")
    assert answer.status == 415


def test_compressed_body_is_refused(http1, own):
    answer = http1("POST", "/app", own + JSON + [("content-encoding", "gzip")], GOOD)
    assert answer.status == 415


# ---- The trailing comma ----

@pytest.mark.parametrize("body", [
    b'{"name":"a","configuration":{"gpu_tier":"BASIC",},"workflow":{"model_url":"http://e.com/",},}',
    b'{"name":"a","configuration":{"gpu_tier":"BASIC" , } ,"workflow":{"model_url":"http://e.com/","tools":{"x":[1,],},}\n,\n}'])
def test_trailing_comma(web, own, body):
    assert web("POST", "/app", own + JSON, body).status == 201


def stored_input(web, own, app, document):
    answer = web("POST", f"/app/{app}/run_async", own + JSON, b'{"input":' + document + b"}")
    assert answer.status == 200, answer
    text = web("GET", f"/app/{app}/job/{answer.json()['job_id']}", own).body
    start = text.index(b'"request":') + len(b'"request":')
    return text[start:text.rindex(b',"result":null')]


def test_trailing_commas_of_documents_are_removed(web, own, app):
    """That is the only change that is made to them."""
    document = b'{ "b" : [ 1 , 2 , ] ,\n"a":{"x":[],"s":",}",} , }'
    assert stored_input(web, own, app, document) == b'{ "b" : [ 1 , 2  ] ,\n"a":{"x":[],"s":",}"}  }'


# ---- Free-form documents ----

DOCUMENTS = [
    b"{}",
    b'{"n":12345678901234567890123456789012345678901234567890}',
    b'{"n":-0.1000000000000000055511151231257827021181583404541015625}',
    b'{"n":[1e400,-1E-400,1e+9,0,-0,0.0,1.50,100000000000000000000.0]}',
    b'{"s":"\\ud800 \\u0000 \\/ \\u0041 \\b\\f\\n\\r\\t \\\\ \\""}',
    "{\"s\":\"h\u00e9llo \u4e16\u754c \U0001f600 \u2028 \x7f\"}".encode(),
    b'{"z":1,"a":2,"":3,"Z":null,"t":[true,false,[],{}]}',
    b' { "spaces" : [ 1 , 2 ] \t} ',
    b'{"\\u006eame":1,"loras":"not typed here"}',
    b'{"\\ud800":1,"\\u0000":2}',
]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_input_is_kept(web, own, app, document):
    """Byte for byte, but for space around it."""
    assert stored_input(web, own, app, document).strip() == document.strip()


@pytest.mark.parametrize("value", [document for document in DOCUMENTS if document.strip() == document])
def test_tools_are_kept(web, own, value):
    made = send_value(web, own, None, "tools", value)
    assert made.status == 201
    assert b'"t":' + value in made.body.replace(b'"t": ', b'"t":')
    answer = web("GET", f"/app/{made.json()['data']['id']}", own)
    assert b'"t":' + value in answer.body.replace(b'"t": ', b'"t":')


def test_long_input(web, own, app):
    document = b'{"s":"' + b"0123456789abcdef" * 200_000 + b'"}'
    assert stored_input(web, own, app, document) == document


def test_many_keys(web, own, app):
    document = json.dumps({f"k{i}": i for i in range(20_000)}, separators=(",", ":")).encode()
    assert stored_input(web, own, app, document) == document


@pytest.mark.parametrize("body", [b"{}", b'{"input":null}', b'{"input":[]}', b'{"input":"x"}', b'{"input":1}',
                                  b'{"inputs":{}}',
                                  b'{"input":{},"other":1}', b"[]", b'{"input":{},"input":{}}', b'{"request":{}}'])
def test_bad_run(web, own, app, body):
    answer = web("POST", f"/app/{app}/run_async", own + JSON, body)
    assert answer.status == 400
    assert answer.error()


# ---- Typed fields at creation ----

def changed(path, value):
    """The body of an app with one member, named by its path, set; `...` takes it away."""
    body = app_body()
    *parents, last = path.split(".")
    inner = body
    for name in parents:
        inner = inner.setdefault(name, {})
    if value is ...:
        inner.pop(last, None)
    else:
        inner[last] = value
    return body


BAD_FIELDS = [
    ("name", ...), ("name", ""), ("name", None), ("name", 1), ("name", ["x"]), ("name", "x" * 201),
    ("name", "\U0001f600" * 201),
    ("description", 1), ("description", {}), ("description", "x" * 4001),
    ("configuration", ...), ("configuration", None), ("configuration", []), ("configuration", "STANDARD"),
    ("configuration", {}),
    ("configuration.gpu_tier", "standard"), ("configuration.gpu_tier", "GPU_TIER_STANDARD"),
    ("configuration.gpu_tier", "HUGE"),
    ("configuration.gpu_tier", ""), ("configuration.gpu_tier", 2), ("configuration.gpu_tier", None),
    ("configuration.gpu_tier", "UNSPECIFIED"),
    ("configuration.active_workers", -1), ("configuration.active_workers", 1001), ("configuration.active_workers", 1.5),
    ("configuration.active_workers", "x"), ("configuration.active_workers", True),
    ("configuration.active_workers", 2**31),
    ("configuration.active_workers", 2**64 + 1), ("configuration.active_workers", [1]),
    ("configuration.location", 1), ("configuration.location", "x" * 201),
    ("workflow", ...), ("workflow", None), ("workflow", []), ("workflow", {}),
    ("workflow.model_url", ""), ("workflow.model_url", None), ("workflow.model_url", 1),
    ("workflow.model_url", "model"),
    ("workflow.model_url", "ftp://example.com/x"), ("workflow.model_url", "https://"),
    ("workflow.model_url", "https:/example.com"),
    ("workflow.model_url", "javascript:alert(1)"), ("workflow.model_url", "https://example.com/" + "x" * 2048),
    ("workflow.model_url", "https://example.com/a b"), ("workflow.model_url", "https://example.com/\n"),
    ("workflow.tools", []), ("workflow.tools", "x"), ("workflow.tools", 1),
    ("workflow.tools.loras", {}), ("workflow.tools.loras", "x"), ("workflow.tools.loras", [1]),
    ("workflow.tools.loras", [None]),
    ("id", new_id()), ("id", "x"),
]
BAD_FIELDS += [("workflow.tools.loras", [{name: value for name, value in LORA.items() if name != missing}])
               for missing in LORA]
BAD_FIELDS += [("workflow.tools.loras", [{**LORA, **change}]) for change in (
    {"weight": "x"}, {"weight": None}, {"weight": [1]}, {"id": 1}, {"id": ""}, {"name": ""}, {"versionId": ""},
    {"downloadUrl": ""},
    {"extra": 1}, {"version_id": "x"})]
BAD_FIELDS += [("workflow.tools.loras", [LORA, LORA]),
               ("workflow.tools.loras", [{**LORA, "id": f"l{i}"} for i in range(65)])]


@pytest.mark.parametrize("path,value", [pytest.param(path, value, id=f"{path}={str(value)[:40]}") for path,
                                        value in BAD_FIELDS])
def test_bad_field(http1, own, path, value):
    """The sentence names the field, in the spelling of this face."""
    answer = http1("POST", "/app", own + JSON, changed(path, value))
    assert answer.status == 400, answer
    sentence = answer.error()
    named = path.split(".")[-1]
    assert named in sentence, sentence
    for internal in ("protobuf", "GPU_TIER_", "version_id", "nanopb", "app."):
        assert internal not in sentence or internal in str(value), sentence


MISSPELT = ["nam", "Name", "names", "Description", "config", "owner", "x-team-id", "gpu_tier", "", "etag"]


@pytest.mark.parametrize("name", MISSPELT)
def test_misspelt_member(http1, own, name):
    """Refused, so that it is not lost; the sentence names it."""
    answer = http1("POST", "/app", own + JSON, {**app_body(), name: "x"})
    assert answer.status == 400, answer
    assert name in answer.error()


@pytest.mark.parametrize("path", ["configuration.gpu_teir", "configuration.workers", "workflow.model", "workflow.loras",
                                  "workflow.url"])
def test_misspelt_inner_member(http1, own, path):
    answer = http1("POST", "/app", own + JSON, changed(path, "x"))
    assert answer.status == 400, answer
    assert path.split(".")[1] in answer.error()


@pytest.mark.parametrize("text", [b'"\\ud800"', b'"\\udc00x"', b'"\\ud800\\ud800"', b'"a\\u0000b"', b'"\\ud83dx"'])
@pytest.mark.parametrize("field", ["name", "description", "location", "model_url"])
def test_text_that_is_none(http1, own, text, field):
    """Lone surrogates and NUL cannot be in typed fields."""
    members = {"name": b'"a"', "description": b'"d"', "location": b'"l"', "model_url": b'"https://e.com/"'}
    members[field] = text
    body = (b'{"name":%(name)s,"description":%(description)s,"configuration":{"gpu_tier":"BASIC","location":%(location)s},'
            b'"workflow":{"model_url":%(model_url)s}}' % {key.encode(): value for key, value in members.items()})
    answer = http1("POST", "/app", own + JSON, body)
    assert answer.status == 400, answer
    assert answer.error()


@pytest.mark.parametrize("path,value", [
    ("name", "x"), ("name", "x" * 200), ("name", "\U0001f600" * 200), ("name", "a\"\\/\b\f\n\r\t\x7f\u2028"),
    ("name", " "),
    ("description", ""), ("description", None), ("description", "x" * 4000), ("configuration.active_workers", 1000),
    ("configuration.active_workers", None), ("configuration.location", "x" * 200),
    ("workflow.model_url", "http://e.com/?a=b#c"),
    ("workflow.model_url", "HTTPS://example.com"), ("workflow.model_url", "https://example.com/" + "x" * 2028),
    ("workflow.tools", None), ("workflow.tools", {}), ("workflow.tools.loras", []), ("workflow.tools.loras", [LORA]),
    ("workflow.tools.loras", [{**LORA, "weight": weight} for weight in (-1.5,)]),
    ("workflow.tools.loras", [{**LORA, "weight": 1e-300}]),
    ("workflow.tools.loras", [{**LORA, "id": f"l{i}"} for i in range(64)]), ("workflow.tools.other", {"loras": [1]})])
def test_good_field(http1, own, path, value):
    answer = http1("POST", "/app", own + JSON, changed(path, value))
    assert answer.status == 201, answer
    inner = answer.json()["data"]
    for name in path.split("."):
        if value is None or value == [] or value == {}:
            return
        inner = inner[name]
    assert inner == value
    fetched = http1("GET", f"/app/{answer.json()['data']['id']}", own).json()
    for name in path.split("."):
        fetched = fetched[name]
    assert fetched == value


@pytest.mark.parametrize("text,value", [(b"5", 5), (b"5.0", 5), (b"5e0", 5), (b"50e-1", 5), (b"1e3", 1000), (b"0", 0),
                                        (b"-0", 0)])
def test_whole_numbers_in_any_form(http1, own, text, value):
    body = GOOD.replace(b'"gpu_tier"', b'"active_workers": ' + text + b', "gpu_tier"')
    answer = http1("POST", "/app", own + JSON, body)
    assert answer.status == 201, answer
    assert answer.json()["data"]["configuration"]["active_workers"] == value


@pytest.mark.parametrize("text", [b"1e400", b"-1e400", b"NaN", b'"NaN"', b"Infinity"])
def test_weight_must_be_finite(http1, own, text):
    lora = json.dumps(LORA).encode().replace(b"0.5", text)
    answer = http1("POST", "/app", own + JSON, GOOD.replace(b'"workflow": {',
                                                            b'"workflow": {"tools": {"loras": [' + lora + b"]}, "))
    assert answer.status == 400, answer


@pytest.mark.parametrize("text", [b"0.1", b"-1", b"1", b"1e-7", b"123456789.125", b"5e-324", b"1.7976931348623157e308"])
def test_weight_comes_back_exact(http1, own, text):
    lora = json.dumps(LORA).encode().replace(b"0.5", text)
    answer = http1("POST", "/app", own + JSON, GOOD.replace(b'"workflow": {',
                                                            b'"workflow": {"tools": {"loras": [' + lora + b"]}, "))
    assert answer.status == 201, answer
    assert answer.json()["data"]["workflow"]["tools"]["loras"] == [{**LORA, "weight": float(text)}]
    assert sorted(answer.json()["data"]["workflow"]["tools"]["loras"][0]) == sorted(LORA)


def test_output_only_members_are_ignored_at_creation(http1, own, store):
    body = {**app_body(), "status": "RUNNING", "created_by": store.bob.id, "owner_user_id": store.bob.id,
            "owner_team_id": None,
            "created_at": "2001-01-01T00:00:00", "updated_at": "x", "jobs": {"completed": 9}, "workers": {"idle": 9}}
    answer = http1("POST", "/app", own + JSON, body)
    assert answer.status == 201, answer
    made = answer.json()["data"]
    assert (made["status"], made["created_by"], made["owner_user_id"]) == ("STOPPED", store.alice.id, store.alice.id)
    assert http1("GET", f"/app/{made['id']}", own).json()["jobs"]["completed"] == 0


def test_several_complaints_at_once(http1, own):
    """One sentence names each field."""
    body = {"name": "", "configuration": {"active_workers": 1001}, "workflow": {"model_url": "x"}}
    sentence = http1("POST", "/app", own + JSON, body).error()
    for name in ("name", "configuration.gpu_tier", "configuration.active_workers", "workflow.model_url"):
        assert name in sentence


def test_server_is_well_after_all_that(web, own):
    assert web("POST", "/app", own + JSON, GOOD).status == 201

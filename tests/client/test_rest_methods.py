"""REST, row by row of the contract's table, over HTTP/1.1 and HTTP/2: statuses, envelopes, headers, texts, keys."""

import re

import pytest

import rpcs
from harness import JSON, app_body, new_id

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d"
JOB_TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"

SLASH = pytest.mark.parametrize("slash", ["", "/"])


@pytest.fixture
def own(store):
    return store.alice.headers()


def make_app(web, headers, **changes):
    answer = web("POST", "/app", headers + JSON, app_body(**changes))
    assert answer.status == 201, answer
    return answer.json()["data"]


def make_job(web, headers, app_id, body=b'{"input":{"prompt":"x"}}'):
    answer = web("POST", f"/app/{app_id}/run_async", headers + JSON, body)
    assert answer.status == 200, answer
    return answer.json()["job_id"]


def assert_json(answer, status):
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/json"
    assert int(answer.headers["content-length"]) == len(answer.body)


@SLASH
def test_create(web, own, store, slash):
    answer = web("POST", f"/app{slash}", own + JSON, app_body(description="d", name="n"))
    assert_json(answer, 201)
    pattern = (r'\{"data":\{"configuration":\{"active_workers":0,"gpu_tier":"STANDARD"\},'
               rf'"created_at":"({TIME})","created_by":"{store.alice.id}","description":"d","id":"[0-9a-f-]{{36}}","name":"n",'
               rf'"owner_team_id":null,"owner_user_id":"{store.alice.id}","status":"STOPPED","updated_at":"({TIME})",'
               r'"workflow":\{"model_url":"https://example.com/model","tools":\{\}\}\}\}')
    match = re.fullmatch(pattern, answer.body.decode())
    assert match, answer.body
    assert match.group(1) == match.group(2)
    assert re.fullmatch(r'"[^"]+"', answer.headers["etag"])


def test_create_in_team(web, store):
    made = make_app(web, store.bob.headers(store.team))
    assert (made["owner_team_id"], made["owner_user_id"], made["created_by"]) == (store.team, None, store.bob.id)


@SLASH
def test_get(web, own, store, slash):
    made = make_app(web, own)
    answer = web("GET", f"/app/{made['id']}{slash}", own)
    assert_json(answer, 200)
    pattern = (r'\{"configuration":\{"active_workers":0,"gpu_tier":"STANDARD"\},'
               rf'"created_at":"{TIME}","created_by":"{store.alice.id}","description":"","id":"{made["id"]}",'
               r'"jobs":\{"completed":0,"failed":0,"in_progress":0,"in_queue":0,"retried":0\},"name":"app",'
               rf'"owner_team_id":null,"owner_user_id":"{store.alice.id}","status":"STOPPED","updated_at":"{TIME}",'
               r'"workers":\{"idle":0,"initializing":0,"ready":0,"running":0,"throttled":0,"unhealthy":0\},'
               r'"workflow":\{"model_url":"https://example.com/model","tools":\{\}\}\}')
    assert re.fullmatch(pattern, answer.body.decode()), answer.body
    assert answer.headers["cache-control"] == "no-store"
    assert re.fullmatch(r'"[^"]+"', answer.headers["etag"])


def test_id_in_upper_case_is_the_same(web, own):
    made = make_app(web, own)
    assert web("GET", f"/app/{made['id'].upper()}", own).json()["id"] == made["id"]


def test_location_appears_when_sent(web, own):
    made = make_app(web, own, configuration={"gpu_tier": "BASIC", "location": "eu"})
    assert made["configuration"] == {"active_workers": 0, "gpu_tier": "BASIC", "location": "eu"}
    assert list(made["configuration"]) == sorted(made["configuration"])


@pytest.mark.parametrize("workers,status", [(0, "STOPPED"), (1, "INITIALIZING"), (1000, "INITIALIZING")])
def test_status_follows_workers(web, own, workers, status):
    made = make_app(web, own, configuration={"gpu_tier": "PERFORMANCE", "active_workers": workers})
    assert (made["status"], made["configuration"]["active_workers"]) == (status, workers)


@SLASH
def test_list(web, store, alice, slash):
    """Newest first, in an envelope; no token unless asked for."""
    team = alice("CreateTeam", team=rpcs.V1.Team(name="list"))
    headers = store.alice.headers(team.id)
    made = [make_app(web, headers, name=f"n{i}")["id"] for i in range(3)]
    answer = web("GET", f"/app{slash}", headers)
    assert_json(answer, 200)
    document = answer.json()
    assert list(document) == ["data"]
    ids = [app["id"] for app in document["data"]]
    assert ids == made[::-1] == sorted(ids, reverse=True)
    assert list(document["data"][0]) == sorted(document["data"][0])


@SLASH
def test_update(web, own, slash):
    made = make_app(web, own, description="d")
    answer = web("PUT", f"/app/{made['id']}{slash}", own + JSON, {"name": "other"})
    assert_json(answer, 200)
    document = answer.json()
    assert list(document) == ["data"]
    assert document["data"] == {**made, "name": "other", "updated_at": document["data"]["updated_at"]}
    assert list(document["data"]) == sorted(document["data"])
    assert answer.headers["etag"] == web("GET", f"/app/{made['id']}", own).headers["etag"]


def test_patch_is_put(web, own):
    made = make_app(web, own)
    answer = web("PATCH", f"/app/{made['id']}", own + JSON, {"description": "patched"})
    assert_json(answer, 200)
    assert answer.json()["data"]["description"] == "patched"
    assert answer.json()["data"]["name"] == "app"


@SLASH
def test_delete(web, own, slash):
    made = make_app(web, own)
    job = make_job(web, own, made["id"])
    answer = web("DELETE", f"/app/{made['id']}{slash}", own)
    assert (answer.status, answer.body) == (204, b"")
    assert "content-type" not in answer.headers
    for method, path in [("GET", ""), ("DELETE", ""), ("GET", f"/job/{job}"), ("GET", "/job")]:
        absent = web(method, f"/app/{made['id']}{path}", own)
        assert (absent.status, absent.error()) == (404, f"App with ID '{made['id']}' not found.")


@SLASH
def test_run_async(web, own, slash):
    made = make_app(web, own)
    answer = web("POST", f"/app/{made['id']}/run_async{slash}", own + JSON, {"input": {"prompt": "x"}})
    assert_json(answer, 200)
    job = answer.json()["job_id"]
    assert answer.body.decode() == f'{{"data":{{"id":"{job}","status":"QUEUED"}},"job_id":"{job}","status":"QUEUED"}}'
    assert web("GET", f"/app/{made['id']}", own).json()["jobs"]["in_queue"] == 1


@SLASH
def test_get_job(web, own, slash):
    made = make_app(web, own)
    job = make_job(web, own, made["id"], b'{"input":{"b":1,"a":[2.50]}}')
    answer = web("GET", f"/app/{made['id']}/job/{job}{slash}", own)
    assert_json(answer, 200)
    pattern = rf'\{{"data":\{{"created_at":"{JOB_TIME}","id":"{job}","request":\{{"b":1,"a":\[2\.50\]\}},"result":null,"status":"IN_QUEUE"\}}\}}'
    assert re.fullmatch(pattern, answer.body.decode()), answer.body


@SLASH
def test_list_jobs(web, own, slash):
    made = make_app(web, own)
    jobs = [make_job(web, own, made["id"]) for _ in range(3)]
    answer = web("GET", f"/app/{made['id']}/job{slash}", own)
    assert_json(answer, 200)
    document = answer.json()
    assert list(document) == ["data"]
    assert [job["id"] for job in document["data"]] == jobs[::-1]
    assert document["data"][0] == web("GET", f"/app/{made['id']}/job/{jobs[2]}", own).json()["data"]


@SLASH
def test_cancel(web, own, slash):
    """No body is needed; the second time answers the same."""
    made = make_app(web, own)
    job = make_job(web, own, made["id"])
    for _ in range(2):
        answer = web("PUT", f"/app/{made['id']}/job/{job}{slash}", own)
        assert_json(answer, 200)
        assert answer.body.decode() == f'{{"data":{{"job_id":"{job}","status":"CANCELED"}}}}'
    assert web("GET", f"/app/{made['id']}/job/{job}", own).json()["data"]["status"] == "CANCELED"
    assert web("GET", f"/app/{made['id']}", own).json()["jobs"]["in_queue"] == 0


def test_cancel_takes_an_empty_object(web, own):
    made = make_app(web, own)
    job = make_job(web, own, made["id"])
    assert web("PUT", f"/app/{made['id']}/job/{job}", own + JSON, {}).status == 200


# ---- What is not there ----

BAD_IDS = ["x", "123", "00000000-0000-0000-0000-00000000000", "00000000-0000-0000-0000-0000000000000",
           "{123e4567-e89b-12d3-a456-426614174000}", "123e4567e89b12d3a456426614174000",
           "zzzzzzzz-zzzz-zzzz-zzzz-zzzzzzzzzzzz"]


@pytest.mark.parametrize("app_id", [new_id(), *BAD_IDS])
@pytest.mark.parametrize("method,path,body", [("GET", "", None), ("PUT", "", {"name": "x"}),
                                              ("PATCH", "", {"name": "x"}),
                                              ("DELETE", "", None), ("POST", "/run_async", {"input": {}}),
                                              ("GET", "/job", None),
                                              ("GET", f"/job/{new_id()}", None), ("PUT", "/job/x", None)])
def test_absent_app(http1, own, app_id, method, path, body):
    """An id that is no UUID is simply not found."""
    answer = http1(method, f"/app/{app_id}{path}", own + (JSON if body else []), body)
    assert (answer.status, answer.error()) == (404, f"App with ID '{app_id}' not found.")


@pytest.mark.parametrize("job_id", [new_id(), *BAD_IDS])
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_absent_job(http1, own, alice_app, job_id, method):
    answer = http1(method, f"/app/{alice_app}/job/{job_id}", own)
    assert (answer.status, answer.error()) == (404, f"Job with ID '{job_id}' not found for App ID '{alice_app}'.")


@pytest.fixture(scope="module")
def alice_app(http1, store):
    return make_app(http1, store.alice.headers())["id"]


def test_job_of_another_app_is_absent(web, own, alice_app):
    other = make_app(web, own)
    job = make_job(web, own, other["id"])
    answer = web("GET", f"/app/{alice_app}/job/{job}", own)
    assert (answer.status, answer.error()) == (404, f"Job with ID '{job}' not found for App ID '{alice_app}'.")


# ---- Routes ----

@pytest.mark.parametrize("path", ["/", "/apps", "/App", "/app//", "//app", "/app/x/run", "/app/x/job/y/z",
                                  "/app/x/jobs", "/app//job",
                                  "/v1/app", "/app/x/job//"])
def test_unknown_path(web, own, path):
    answer = web("GET", path, own)
    assert answer.status == 404
    assert answer.error()


ALLOW = {"/app": "GET, HEAD, OPTIONS, POST", "/app/{}": "DELETE, GET, HEAD, OPTIONS, PATCH, PUT",
         "/app/{}/run_async": "OPTIONS, POST", "/app/{}/job": "GET, HEAD, OPTIONS",
         "/app/{}/job/{}": "GET, HEAD, OPTIONS, PUT"}
VERBS = ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "MKCOL"]


@pytest.mark.parametrize("path,verb", [(path, verb) for path in ALLOW
                                       for verb in VERBS if verb not in ALLOW[path].split(", ")])
def test_wrong_verb(web, path, verb):
    """405 names what is allowed, whoever asks."""
    answer = web(verb, path.format(new_id(), new_id()))
    assert answer.status == 405, answer
    assert answer.headers["allow"] == ALLOW[path]
    assert answer.error()


@pytest.mark.parametrize("path", ALLOW)
def test_options(web, path):
    answer = web("OPTIONS", path.format(new_id(), new_id()))
    assert answer.status in (200, 204)
    assert answer.headers["allow"] == ALLOW[path]
    assert answer.body == b""


@pytest.mark.parametrize("path,status", [("/app", 200), ("/app/{app}", 200), ("/app/{app}/job", 200),
                                         ("/app/{app}/job/{job}", 200),
                                         ("/app/nothing", 404), ("/nothing", 404), ("/app/{app}/run_async", 405)])
def test_head_is_get_without_body(web, own, alice_app, path, status):
    job = make_job(web, own, alice_app)
    path = path.format(app=alice_app, job=job)
    head, get = web("HEAD", path, own), web("GET", path, own)
    assert head.status == get.status == status
    assert head.body == b""
    for name in ("content-type", "content-length", "etag", "cache-control", "allow"):
        assert head.headers.get(name) == get.headers.get(name), name


def test_every_answer_has_a_date_or_none_has(web, own, alice_app):
    """Answers are alike whether they succeed or fail."""
    names = [set(web("GET", path, own).headers) - {"etag", "cache-control", "content-length"}
             for path in (f"/app/{alice_app}", "/app", "/app/x", "/x")]
    assert all(other == names[0] for other in names), names


# ---- Conditions ----

@pytest.mark.parametrize("condition,status", [("{etag}", 200), ("*", 200), ('"0-0"', 412), ('"x"', 412),
                                              ("W/{etag}", 412)])
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_if_match(web, own, method, condition, status):
    made = make_app(web, own)
    etag = web("GET", f"/app/{made['id']}", own).headers["etag"]
    condition = condition.format(etag=etag)
    headers = own + [("If-Match", condition)]
    if method == "PUT":
        answer = web("PUT", f"/app/{made['id']}", headers + JSON, {"name": "changed"})
    else:
        answer = web("DELETE", f"/app/{made['id']}", headers)
        status = 204 if status == 200 else status
    assert answer.status == status, answer
    if status == 412:
        assert answer.error()
        assert web("GET", f"/app/{made['id']}", own).json()["name"] == "app"


def test_etag_is_of_the_record_not_of_its_counters(web, own):
    """A job changes the counters and leaves the etag; an update changes it; the old one then no longer matches."""
    made = make_app(web, own)
    path = f"/app/{made['id']}"
    first = web("GET", path, own).headers["etag"]
    make_job(web, own, made["id"])
    assert web("GET", path, own).headers["etag"] == first
    second = web("PUT", path, own + JSON + [("If-Match", first)], {"name": "second"}).headers["etag"]
    assert second != first
    assert web("PUT", path, own + JSON + [("If-Match", first)], {"name": "third"}).status == 412
    assert web("GET", path, own).json()["name"] == "second"


# ---- Pages ----

@pytest.fixture(scope="module")
def many(http1, store):
    """Seven apps of carol's, and seven jobs of the newest, two of them canceled."""
    headers = store.carol.headers()
    for app in http1("GET", "/app", headers).json()["data"]:
        http1("DELETE", f"/app/{app['id']}", headers)
    apps = [make_app(http1, headers, name=f"n{i}")["id"] for i in range(7)]
    jobs = [make_job(http1, headers, apps[6]) for _ in range(7)]
    for job in jobs[2:4]:
        assert http1("PUT", f"/app/{apps[6]}/job/{job}", headers).status == 200
    return headers, apps[::-1], jobs[::-1]


def walk(web, path, headers, page_size, query=""):
    ids, sizes, token = [], [], ""
    while True:
        answer = web("GET", f"{path}?page_size={page_size}&page_token={token}{query}", headers)
        assert answer.status == 200, answer
        document = answer.json()
        assert list(document) == ["data", "next_page_token"], "asked for"
        ids += [element["id"] for element in document["data"]]
        sizes.append(len(document["data"]))
        token = document["next_page_token"]
        if not token:
            return ids, sizes


@pytest.mark.parametrize("page_size,sizes", [(1, [1] * 7), (2, [2, 2, 2, 1]), (3, [3, 3, 1]), (7, [7]), (8, [7]),
                                             (1000, [7]), (0, [7])])
def test_pages(web, many, page_size, sizes):
    """Every element once, in order; no empty last page."""
    headers, apps, jobs = many
    assert walk(web, "/app", headers, page_size) == (apps, sizes)
    assert walk(web, f"/app/{apps[0]}/job", headers, page_size) == (jobs, sizes)


@pytest.mark.parametrize("status,expected", [("IN_QUEUE", slice(None)), ("QUEUED", slice(None)), ("CANCELED", None),
                                             ("RUNNING", ()),
                                             ("COMPLETED", ()), ("FAILED", ())])
@pytest.mark.parametrize("page_size", [1, 2, 100])
def test_jobs_by_status(web, many, status, expected, page_size):
    headers, apps, jobs = many
    canceled = jobs[3:5]
    want = {"IN_QUEUE": [job for job in jobs if job not in canceled], "CANCELED": canceled}
    want["QUEUED"] = want["IN_QUEUE"]
    ids, _ = walk(web, f"/app/{apps[0]}/job", headers, page_size, f"&status={status}")
    assert ids == want.get(status, [])


@pytest.mark.parametrize("query", ["page_size=-1", "page_size=1001", "page_size=x", "page_size=1.5",
                                   "page_size=99999999999999999999",
                                   "page_token=x", "page_token=AAAA", "page_sizes=1", "page_size=1&page_size=2"])
@pytest.mark.parametrize("path", ["/app", "/app/{}/job"])
def test_bad_page(web, many, path, query):
    headers, apps, _ = many
    answer = web("GET", f"{path.format(apps[0])}?{query}", headers)
    assert answer.status == 400, answer
    assert query.split("=")[0] in answer.error()


@pytest.mark.parametrize("length", range(76, 82))
def test_long_unknown_parameter(web, own, length):
    """Its name is cut between characters: the answer is JSON in UTF-8."""
    answer = web("GET", f"/app?{'x' * length}%E2%82%AC%C3%A9=1", own)
    assert answer.status == 400
    assert "x" * 70 in answer.error()


@pytest.mark.parametrize("status", ["X", "queued", "JOB_STATUS_QUEUED", "UNSPECIFIED", "IN_QUEUE,RUNNING", "1"])
def test_bad_status(web, many, status):
    headers, apps, _ = many
    answer = web("GET", f"/app/{apps[0]}/job?status={status}", headers)
    assert answer.status == 400
    assert "status" in answer.error()


def test_token_is_of_its_list_and_scope(web, store, many):
    """A page token serves neither another list, nor another app's, nor another filter's, nor another scope's."""
    headers, apps, _ = many
    of_apps = web("GET", "/app?page_size=1", headers).json()["next_page_token"]
    of_jobs = web("GET", f"/app/{apps[0]}/job?page_size=1", headers).json()["next_page_token"]
    other = make_job(web, headers, apps[1])
    assert other
    for who, path in [(headers, f"/app/{apps[0]}/job?page_token={of_apps}"), (headers, f"/app?page_token={of_jobs}"),
                      (headers, f"/app/{apps[1]}/job?page_token={of_jobs}"),
                      (headers, f"/app/{apps[0]}/job?status=IN_QUEUE&page_token={of_jobs}"),
                      (store.alice.headers(), f"/app?page_token={of_apps}"),
                      (store.alice.headers(store.team), f"/app?page_token={of_apps}")]:
        answer = web("GET", path, who)
        assert answer.status == 400, (path, answer)
        assert "page_token" in answer.error()


def test_a_cut_list_says_so(http1, store, alice):
    """More than the default page without asking: a token comes beside the data, and leads to the rest."""
    headers = store.alice.headers(alice("CreateTeam", team=rpcs.V1.Team(name="cut")).id)
    client = alice.by(headers)
    stub = client.stub("CreateApp")
    request = rpcs.V1.CreateAppRequest(app=rpcs.app(name="many"))
    for future in [stub.future(request, metadata=client.metadata) for _ in range(103)]:
        future.result(timeout=60)
    first = http1("GET", "/app", headers).json()
    assert list(first) == ["data", "next_page_token"]
    assert len(first["data"]) == 100
    second = http1("GET", f"/app?page_token={first['next_page_token']}", headers).json()
    ids = [app["id"] for app in first["data"] + second["data"]]
    assert len(ids) == len(set(ids)) == 103
    assert not second["next_page_token"]


def test_a_page_ends_at_its_bytes(web, own):
    """Six jobs of 600 KB are two pages, the first cut at 2 MiB."""
    made = make_app(web, own)
    body = b'{"input":{"x":"' + b"x" * 600_000 + b'"}}'
    jobs = [make_job(web, own, made["id"], body) for _ in range(6)]
    first = web("GET", f"/app/{made['id']}/job", own)
    assert len(first.body) < 3 << 20
    first = first.json()
    assert list(first) == ["data", "next_page_token"]
    assert 3 <= len(first["data"]) <= 4
    ids, _ = walk(web, f"/app/{made['id']}/job", own, 1000)
    assert ids == jobs[::-1]

"""PUT of an app: partial, merging, what cannot change, the round trip of GET, edit, PUT."""

import pytest

from harness import JSON, LORA, app_body, new_id

TOOLS = {"loras": [LORA, {**LORA, "id": "l2", "weight": 1}], "seed": 7, "nested": {"a": 1}}


@pytest.fixture(scope="module")
def own(store):
    return store.alice.headers()


@pytest.fixture
def app(http1, own):
    body = app_body(description="d", configuration={"gpu_tier": "STANDARD", "active_workers": 2, "location": "eu"},
                    workflow={"model_url": "https://example.com/model", "tools": TOOLS})
    answer = http1("POST", "/app", own + JSON, body)
    assert answer.status == 201, answer
    return answer.json()["data"]


def put(web, own, app, body):
    return web("PUT", f"/app/{app['id']}", own + JSON, body)


def merged(app, changes):
    result = dict(app)
    for name, value in changes.items():
        result[name] = merged(app[name], value) if isinstance(value, dict) and name in ("configuration",
                                                                                        "workflow") else value
    return result


@pytest.mark.parametrize("changes", [
    {"name": "other"}, {"description": "other"}, {"description": ""}, {"configuration": {"active_workers": 5}},
    {"workflow": {"model_url": "https://example.com/second"}},
    {"name": "a", "description": "b", "configuration": {"active_workers": 1}},
    {}, {"configuration": {}}, {"workflow": {}}, {"workflow": {"tools": {}}}])
def test_only_what_is_sent_changes(web, own, app, changes):
    answer = put(web, own, app, changes)
    assert answer.status == 200, answer
    want = merged(app, changes)
    if changes == {"workflow": {"tools": {}}}:
        want = app
    got = answer.json()["data"]
    assert {**got, "updated_at": 0} == {**want, "updated_at": 0}
    fetched = web("GET", f"/app/{app['id']}", own).json()
    assert {name: fetched[name] for name in got} == got


@pytest.mark.parametrize("workers,status", [(0, "STOPPED"), (1, "INITIALIZING"), (9, "INITIALIZING")])
def test_status_follows_workers(web, own, app, workers, status):
    """Down to 0 stops at once; raising from 0 initializes."""
    assert put(web, own, app, {"configuration": {"active_workers": 0}}).json()["data"]["status"] == "STOPPED"
    assert put(web, own, app, {"configuration": {"active_workers": workers}}).json()["data"]["status"] == status


def test_null_is_absent_but_clears_the_description(web, own, app):
    body = {"name": None, "configuration": None, "workflow": {"model_url": None, "tools": None}, "id": None,
            "status": None}
    answer = put(web, own, app, body)
    assert answer.status == 200, answer
    assert {**answer.json()["data"], "updated_at": 0} == {**app, "updated_at": 0}
    assert put(web, own, app, {"description": None}).json()["data"]["description"] == ""
    body = {"configuration": {"gpu_tier": None, "location": None, "active_workers": None}}
    answer = put(web, own, app, body)
    assert answer.status == 200
    assert answer.json()["data"]["configuration"] == app["configuration"]


@pytest.mark.parametrize("changes,named", [
    ({"configuration": {"gpu_tier": "BASIC"}}, "gpu_tier"), ({"configuration": {"gpu_tier": "nonsense"}}, "gpu_tier"),
    ({"configuration": {"location": "us"}}, "location"), ({"configuration": {"location": ""}}, "location"),
    ({"configuration": {"active_workers": -1}}, "active_workers"),
    ({"configuration": {"active_workers": 1001}}, "active_workers"),
    ({"name": ""}, "name"), ({"name": 1}, "name"), ({"name": "x" * 201}, "name"), ({"nam": "x"}, "nam"),
    ({"workflow": {"model_url": ""}}, "model_url"), ({"workflow": {"model_url": "x"}}, "model_url"),
    ({"workflow": {"tools": []}}, "tools"), ({"configuration": {"other": 1}}, "other"),
    ({"workflow": {"other": 1}}, "other")])
def test_what_cannot_be(web, own, app, changes, named):
    answer = put(web, own, app, changes)
    assert answer.status == 400, answer
    assert named in answer.error()
    fetched = web("GET", f"/app/{app['id']}", own).json()
    assert {name: fetched[name] for name in app} == app, "nothing changed"


def test_immutable_members_equal_to_the_stored_are_accepted(web, own, app):
    answer = put(web, own, app, {"configuration": {"gpu_tier": "STANDARD", "location": "eu"}, "name": "n"})
    assert answer.status == 200
    assert answer.json()["data"]["name"] == "n"


@pytest.mark.parametrize("location", ["eu", ""])
def test_location_cannot_be_added(web, own, location):
    made = web("POST", "/app", own + JSON, app_body()).json()["data"]
    answer = put(web, own, made, {"configuration": {"location": location}})
    assert answer.status == (400 if location else 200), answer


def test_output_only_members_are_ignored(web, own, app, store):
    body = {"id": new_id(), "status": "RUNNING", "created_at": "2001-01-01T00:00:00", "updated_at": "x",
            "created_by": store.bob.id,
            "owner_user_id": store.bob.id, "owner_team_id": store.team, "jobs": {"completed": 5},
            "workers": {"idle": 1}, "name": "n"}
    answer = put(web, own, app, body)
    assert answer.status == 200, answer
    assert {**answer.json()["data"], "updated_at": 0} == {**app, "name": "n", "updated_at": 0}


def test_get_edit_put(web, own, app):
    document = web("GET", f"/app/{app['id']}", own).json()
    document["name"] = "edited"
    document["workflow"]["tools"]["loras"][0]["weight"] = 0.75
    answer = put(web, own, app, document)
    assert answer.status == 200, answer
    want = {name: value for name, value in document.items() if name not in ("jobs", "workers")}
    assert {**answer.json()["data"], "updated_at": 0} == {**want, "updated_at": 0}


def test_weights_may_change(web, own, app):
    first, second = app["workflow"]["tools"]["loras"]
    answer = put(web, own, app, {"workflow": {"tools": {"loras": [{**first, "weight": 0.1},
                                                                  {**second, "weight": -2}]}}})
    assert answer.status == 200, answer
    tools = answer.json()["data"]["workflow"]["tools"]
    assert [lora["weight"] for lora in tools["loras"]] == [0.1, -2]
    assert {**tools, "loras": 0} == {**TOOLS, "loras": 0}


def test_loras_in_any_order(web, own, app):
    first, second = app["workflow"]["tools"]["loras"]
    answer = put(web, own, app, {"workflow": {"tools": {"loras": [{**second, "weight": 3}, first]}}})
    assert answer.status == 200, answer
    assert {lora["id"]: lora["weight"] for lora in answer.json()["data"]["workflow"]["tools"]["loras"]} == {"l1": 0.5, "l2": 3}


@pytest.mark.parametrize("change", [
    lambda first, second: [first], lambda first, second: [], lambda first,
    second: [first, second, {**LORA, "id": "l3"}],
    lambda first, second: [first, {**second, "id": "l3"}], lambda first, second: [first, first],
    lambda first, second: [first, {**second, "name": "x"}], lambda first, second: [first, {**second, "versionId": "x"}],
    lambda first, second: [first, {**second, "downloadUrl": "https://example.com/x"}],
    lambda first, second: [first, {"id": "l2", "weight": 1}], lambda first, second: [first, {**second, "weight": None}],
    lambda first, second: {}])
def test_loras_must_be_the_same(web, own, app, change):
    answer = put(web, own, app, {"workflow": {"tools": {"loras": change(*app["workflow"]["tools"]["loras"])}}})
    assert answer.status == 400, answer
    assert "loras" in answer.error()


def test_loras_left_out_or_null_are_kept(web, own, app):
    for tools in ({"x": 1}, {"loras": None}):
        answer = put(web, own, app, {"workflow": {"tools": tools}})
        assert answer.status == 200, answer
        assert answer.json()["data"]["workflow"]["tools"]["loras"] == TOOLS["loras"]


def test_tools_merge_member_by_member(web, own, app):
    """New members come, null removes, others stay; a member's own value is replaced whole."""
    answer = put(web, own, app, {"workflow": {"tools": {"seed": None, "nested": {"b": 2}, "more": [1.50]}}})
    assert answer.status == 200, answer
    assert answer.json()["data"]["workflow"]["tools"] == {"loras": TOOLS["loras"], "nested": {"b": 2}, "more": [1.5]}
    assert put(web, own, app, {"workflow": {"tools": {"absent": None}}}).status == 200


def test_digits_survive_an_update(web, own):
    body = b'{"name":"a","configuration":{"gpu_tier":"BASIC"},"workflow":{"model_url":"http://e.com/","tools":{"n":1.000e400}}}'
    made = web("POST", "/app", own + JSON, body).json()["data"]
    put(web, own, made, b'{"workflow":{"tools":{"m":0.10}}}')
    text = web("GET", f"/app/{made['id']}", own).body
    assert b'"n":1.000e400' in text and b'"m":0.10' in text


def test_updated_at_moves_and_created_at_stays(web, own, app):
    got = put(web, own, app, {"name": "n"}).json()["data"]
    assert got["created_at"] == app["created_at"]
    assert got["updated_at"] >= app["updated_at"]

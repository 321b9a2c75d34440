"""Whatever is another's does not exist: the answer for a foreign id is that for a random one, byte for byte."""

import pytest

import rpcs
from harness import JSON, new_id
from rpcs import V1

CANARY = "canary-7f3a"


class Treasure:
    """Ids of the team's and of bob's things, which the callers below have no right to."""

    def __init__(self, alice, alice_in_team, bob):
        self.ids = []
        for owner in (alice_in_team, bob):
            app = owner("CreateApp", app=rpcs.app(name=CANARY, description=CANARY))
            job = owner("RunJob", app_id=app.id, input='{"x":"%s"}' % CANARY)
            self.ids.append((app.id, job.id))


@pytest.fixture(scope="module")
def treasure(alice, alice_in_team, bob):
    return Treasure(alice, alice_in_team, bob)


# Arguments by method; `app` and `job` are the ids.
METHODS = {
    "GetApp": lambda app, job: dict(id=app),
    "UpdateApp": lambda app, job: dict(app=V1.App(id=app, name="mine")),
    "UpdateApp validate": lambda app, job: dict(app=V1.App(id=app, name="mine"), validate_only=True),
    "UpdateApp etag": lambda app, job: dict(app=V1.App(id=app, name="mine", etag="0-1")),
    "DeleteApp": lambda app, job: dict(id=app),
    "DeleteApp etag": lambda app, job: dict(id=app, etag="0-1"),
    "RunJob": lambda app, job: dict(app_id=app, input="{}"),
    "GetJob": lambda app, job: dict(id=job, app_id=app),
    "CancelJob": lambda app, job: dict(id=job, app_id=app),
    "ListJobs": lambda app, job: dict(app_id=app),
    "ListJobs full": lambda app, job: dict(app_id=app, view=V1.JOB_VIEW_FULL, status=V1.JOB_STATUS_QUEUED),
}

ROUTES = [("GET", "/app/{app}", None), ("HEAD", "/app/{app}", None), ("PUT", "/app/{app}", {"name": "mine"}),
          ("PATCH", "/app/{app}", {}),
          ("DELETE", "/app/{app}", None), ("POST", "/app/{app}/run_async", {"input": {}}),
          ("GET", "/app/{app}/job", None),
          ("GET", "/app/{app}/job/{job}", None), ("PUT", "/app/{app}/job/{job}", None),
          ("GET", "/app/{app}/job?status=QUEUED", None)]


def intruders(store):
    """Who tries: a stranger; the OWNER without the header; the owner of another scope with it."""
    return {"stranger": store.carol.headers(), "owner without the header": store.alice.headers(),
            "member without it": store.dave.headers(),
            "in the team": store.dave.headers(store.team)}


def foreign(who, treasure):
    """What of the treasure is not the intruder's."""
    return treasure.ids[1:] if who == "in the team" else treasure.ids


WHO = ["stranger", "owner without the header", "member without it", "in the team"]


def blank(data, *ids):
    for one in ids:
        data = data.replace(one.encode() if isinstance(data, bytes) else one,
                            b"ID" if isinstance(data, bytes) else "ID")
    return data


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("method", METHODS)
def test_grpc(store, channel, treasure, who, method):
    client = rpcs.Client(channel, intruders(store)[who])
    name = method.split()[0]
    for app, job in foreign(who, treasure):
        nobody = (new_id(), new_id())
        failure = client.fails(name, **METHODS[method](app, job))
        other = client.fails(name, **METHODS[method](*nobody))
        assert failure.code == "NOT_FOUND"
        assert blank(failure.text, app, job) == blank(other.text, *nobody)
        assert blank(failure.details, app, job) == blank(other.details, *nobody)


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("method,path,body", ROUTES, ids=[f"{method} {path}" for method, path, _ in ROUTES])
def test_rest(store, web, treasure, who, method, path, body):
    headers = intruders(store)[who] + (JSON if body is not None else [])
    for app, job in foreign(who, treasure):
        nobody = (new_id(), new_id())
        answer = web(method, path.format(app=app, job=job), headers, body)
        other = web(method, path.format(app=nobody[0], job=nobody[1]), headers, body)
        assert answer.status == 404
        assert blank(answer.body, app, job) == blank(other.body, *nobody)
        drop = lambda one: {name: value for name, value in one.headers.items() if name != "date"}  # noqa: E731
        assert drop(answer) == drop(other)


def test_foreign_job_under_an_own_app(alice, treasure):
    """A job's id opens nothing under another app."""
    own = alice("CreateApp", app=rpcs.app())
    for _, job in treasure.ids:
        for method in ("GetJob", "CancelJob"):
            failure = alice.fails(method, id=job, app_id=own.id)
            assert failure.code == "NOT_FOUND"
            assert failure.text == f"Job with ID '{job}' not found for App ID '{own.id}'."


def test_if_match_tells_nothing(store, web, treasure):
    for condition in ("*", '"0-1"'):
        answers = [web("DELETE", f"/app/{app}", store.carol.headers() + [("if-match", condition)])
                   for app in (treasure.ids[0][0], new_id())]
        assert [answer.status for answer in answers] == [404, 404]


@pytest.mark.parametrize("who", WHO)
def test_lists_show_nothing(store, channel, web, treasure, who):
    """No list of the intruder's has the canary, whatever the page."""
    headers = intruders(store)[who]
    client = rpcs.Client(channel, headers)
    for app, _ in foreign(who, treasure):
        reply = client("ListApps", page_size=1000)
        assert app not in [one.id for one in reply.apps]
        assert app.encode() not in web("GET", "/app?page_size=1000", headers).body
    if who != "in the team":
        assert CANARY not in str(client("ListApps", page_size=1000))


def test_page_token_of_another_scope(store, channel, treasure, alice_in_team, carol):
    alice_in_team("CreateApp", app=rpcs.app())
    token = alice_in_team("ListApps", page_size=1).next_page_token
    assert token
    assert carol.outcome("ListApps", page_token=token) == "INVALID_ARGUMENT"


def test_ids_cannot_be_chosen(carol, web, store, treasure):
    """Nobody writes over a foreign record by creating one of its id."""
    app, _ = treasure.ids[0]
    assert carol.outcome("CreateApp", app=rpcs.app(id=app)) == "INVALID_ARGUMENT"
    body = {"id": app, "name": "x", "configuration": {"gpu_tier": "BASIC"},
            "workflow": {"model_url": "https://example.com/"}}
    assert web("POST", "/app", store.carol.headers() + JSON, body).status == 400


def test_owner_fields_move_nothing(carol, alice_in_team, store, treasure):
    """Owners in a body are ignored: an app lands where the headers say."""
    made = carol("CreateApp", app=rpcs.app(owner_team_id=store.team))
    assert made.owner_user_id == store.carol.id
    assert alice_in_team.outcome("GetApp", id=made.id) == "NOT_FOUND"
    carol("UpdateApp", app=V1.App(id=made.id, owner_team_id=store.team, name="n"),
          update_mask={"paths": ["owner_team_id", "name"]})
    assert carol("GetApp", id=made.id).owner_user_id == store.carol.id


def test_the_treasure_is_untouched(alice_in_team, bob, treasure):
    for owner, (app, job) in zip((alice_in_team, bob), treasure.ids):
        assert owner("GetApp", id=app).name == CANARY
        assert owner("GetApp", id=app).jobs.in_queue == 1
        assert owner("GetJob", id=job, app_id=app).status == V1.JOB_STATUS_QUEUED

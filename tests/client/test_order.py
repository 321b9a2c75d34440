"""The order of checks: requests that violate two rules at once are answered for the earlier one, on both faces."""

import itertools

import pytest

import rpcs
from harness import new_id

# In the contract's order. `excludes`: violations that cannot be had together.
REST = ["path", "verb", "key", "user", "team", "member", "type", "size", "body", "role", "resource", "etag"]
GRPC = ["path", "key", "user", "team", "member", "size", "body", "role", "resource", "etag"]
EXCLUDES = [{"path", "verb"}, {"team", "member"}, {"member", "role"}, {"team", "role"}]

REST_ANSWERS = {
    "path": (404, None),
    "verb": (405, None),
    "key": (403, "Unauthorized access. Invalid API key."),
    "user": (403, "User does not match the API key."),
    "team": (400, "x-team-id"),
    "member": (403, "You are not a member of this team."),
    "type": (415, None),
    "size": (413, None),
    "body": (400, "nam"),
    "role": (403, "EDIT"),
    "resource": (404, "App with ID"),
    "etag": (412, None),
}

GRPC_ANSWERS = {
    "path": ("UNIMPLEMENTED", None),
    "key": ("UNAUTHENTICATED", "Unauthorized access. Invalid API key."),
    "user": ("PERMISSION_DENIED", "User does not match the API key."),
    "team": ("INVALID_ARGUMENT", "x-team-id"),
    "member": ("PERMISSION_DENIED", "You are not a member of this team."),
    "size": ("RESOURCE_EXHAUSTED", None),
    "body": ("INVALID_ARGUMENT", "update_mask"),
    "role": ("PERMISSION_DENIED", "EDIT"),
    "resource": ("NOT_FOUND", "App with ID"),
    "etag": ("ABORTED", None),
}


def cases(names):
    single = [{name} for name in names]
    pairs = [set(pair) for pair in itertools.combinations(names, 2) if set(pair) not in EXCLUDES]
    rest = [set(names[start:]) - {"verb", "team", "role"} for start in range(len(names))]
    seen = []
    for case in single + pairs + rest:
        if case and case not in seen:
            seen.append(case)
    return [pytest.param(case, min(case, key=names.index), id="+".join(sorted(case, key=names.index))) for case in seen]


class Where:
    """erin may edit in one team and not in another; each has an app."""

    def __init__(self, store, channel):
        owner = rpcs.Client(channel, store.alice.headers())
        self.open = owner("CreateTeam", team=rpcs.V1.Team(name="open")).id
        self.shut = owner("CreateTeam", team=rpcs.V1.Team(name="shut",
                                                          settings=rpcs.V1.TeamSettings(member_can_run=True))).id
        for team in (self.open, self.shut):
            owner("InviteMember", team_id=team, user_id=store.bob.id, role=rpcs.V1.ROLE_MEMBER)
            rpcs.Client(channel, store.bob.headers())("AcceptInvitation", team_id=team)
        self.apps = {team: rpcs.Client(channel, store.alice.headers(team))("CreateApp", app=rpcs.app()).id
                     for team in (self.open, self.shut)}


@pytest.fixture(scope="module")
def where(store, channel):
    return Where(store, channel)


def credentials(store, where, case):
    team = where.shut if "role" in case else where.open
    app = new_id() if "resource" in case else where.apps[team]
    key = "unknown" if "key" in case else store.bob.key
    headers = [("x-api-key", key), ("x-team-id", "null" if "team" in case else new_id() if "member" in case else team)]
    if "user" in case:
        headers.append(("x-authenticated-user-id", store.carol.id))
    return headers, app


@pytest.mark.parametrize("case,wins", cases(REST))
def test_rest(web, store, where, case, wins):
    headers, app = credentials(store, where, case)
    headers.append(("content-type", "text/plain" if "type" in case else "application/json"))
    if "etag" in case:
        headers.append(("if-match", '"0-0"'))
    body = b'{"nam":"x"}' if "body" in case else b'{"name":"x"}'
    if "size" in case:
        body += b" " * (5 << 20)
    path = f"/apps/{app}" if "path" in case else f"/app/{app}"
    answer = web("POST" if "verb" in case else "PUT", path, headers, body)
    status, text = REST_ANSWERS[wins]
    assert answer.status == status, answer
    assert (text or "") in answer.error()


@pytest.mark.parametrize("case,wins", cases(GRPC))
def test_grpc(channel, store, where, case, wins):
    metadata, app = credentials(store, where, case)
    request = rpcs.V1.UpdateAppRequest(app=rpcs.V1.App(id=app, name="x"))
    if "etag" in case:
        request.app.etag = "0-0"
    if "body" in case:
        request.update_mask.paths.append("nam")
    if "size" in case:
        request.app.description = "x" * (5 << 20)
    call = channel.unary_unary("/allod.v1.AppService/" + ("PutApp" if "path" in case else "UpdateApp"),
                               request_serializer=lambda message: message.SerializeToString())
    with pytest.raises(rpcs.grpc.RpcError) as caught:
        call(request, metadata=metadata, timeout=60)
    failure = rpcs.Failure(caught.value)
    code, text = GRPC_ANSWERS[wins]
    assert failure.code == code, failure
    assert (text or "") in failure.text


def test_nothing_wrong(web, channel, store, where):
    """The same request without a violation succeeds: what the others are refused for is the violation."""
    headers, app = credentials(store, where, set())
    assert web("PUT", f"/app/{app}", headers + [("content-type", "application/json")], b'{"name":"x"}').status == 200
    assert rpcs.Client(channel, headers)("UpdateApp", app=rpcs.V1.App(id=app, name="y")).name == "y"

"""Who asks and where: every form of x-api-key, x-team-id and x-authenticated-user-id, on both faces."""

import pytest

import rpcs
from harness import JSON, app_body, new_id

BAD_KEY = {"error": "Unauthorized access. Invalid API key."}
WRONG_USER = {"error": "User does not match the API key."}
NOT_MEMBER = {"error": "You are not a member of this team."}


@pytest.fixture(scope="module")
def apps(store, alice, alice_in_team):
    """An app of alice's and one of the team's."""
    return alice("CreateApp", app=rpcs.app()).id, alice_in_team("CreateApp", app=rpcs.app()).id


def typo(key):
    return key[:-1] + ("0" if key[-1] != "0" else "1")


# Each: the headers, from a key that is good; all are refused.
BAD_KEYS = {
    "missing": lambda key: [],
    "empty": lambda key: [("x-api-key", "")],
    "unknown": lambda key: [("x-api-key", "12324234x")],
    "typo": lambda key: [("x-api-key", typo(key))],
    "cut": lambda key: [("x-api-key", key[:-1])],
    "longer": lambda key: [("x-api-key", key + "0")],
    "upper": lambda key: [("x-api-key", key.upper())],
    "prefix": lambda key: [("x-api-key", "allod_sk_")],
    "twice": lambda key: [("x-api-key", key), ("x-api-key", key)],
    "two": lambda key: [("x-api-key", key), ("x-api-key", "other")],
    "joined": lambda key: [("x-api-key", f"{key},{key}")],
    "quoted": lambda key: [("x-api-key", f'"{key}"')],
    "bearer": lambda key: [("authorization", f"Bearer {key}")],
    "huge": lambda key: [("x-api-key", key * 100)],
}

# Each: the values of x-team-id, from the team's.
BAD_TEAMS = {
    "empty": lambda team: [""],
    "null": lambda team: ["null"],
    "undefined": lambda team: ["undefined"],
    "braces": lambda team: ["{" + team + "}"],
    "joined": lambda team: [f"{team},{team}"],
    "joined with a space": lambda team: [f"{team}, {team}"],
    "twice": lambda team: [team, team],
    "two": lambda team: [team, new_id()],
    "with an empty one": lambda team: [team, ""],
    "quoted": lambda team: [f'"{team}"'],
    "no hyphens": lambda team: [team.replace("-", "")],
    "cut": lambda team: [team[:-1]],
    "longer": lambda team: [team + "0"],
    "not hex": lambda team: ["g" + team[1:]],
    "urn": lambda team: ["urn:uuid:" + team],
    "percent": lambda team: [team.replace("-", "%2d")],
    "variable": lambda team: ["{{team_id}}"],
}


@pytest.mark.parametrize("form", BAD_KEYS)
def test_bad_key(web, store, apps, form):
    answer = web("GET", f"/app/{apps[0]}", BAD_KEYS[form](store.alice.key))
    assert (answer.status, answer.json()) == (403, BAD_KEY)


@pytest.mark.parametrize("form", BAD_KEYS)
def test_bad_key_grpc(alice, store, apps, form):
    failure = alice.by(BAD_KEYS[form](store.alice.key)).fails("GetApp", id=apps[0])
    assert (failure.code, failure.text) == ("UNAUTHENTICATED", BAD_KEY["error"])
    assert (failure.info.domain, failure.info.reason) == ("allod", "INVALID_API_KEY")


@pytest.mark.parametrize("form", BAD_TEAMS)
def test_bad_team(web, store, apps, form):
    """An error, never a fall-back to the personal scope."""
    headers = store.alice.headers() + [("x-team-id", value) for value in BAD_TEAMS[form](store.team)]
    answer = web("GET", f"/app/{apps[0]}", headers)
    assert answer.status == 400, answer
    assert "x-team-id" in answer.error()
    made = web("POST", "/app", headers + JSON, app_body(name="stray"))
    assert made.status == 400


@pytest.mark.parametrize("form", BAD_TEAMS)
def test_bad_team_grpc(alice, store, apps, form):
    metadata = store.alice.headers() + [("x-team-id", value) for value in BAD_TEAMS[form](store.team)]
    failure = alice.by(metadata).fails("GetApp", id=apps[0])
    assert failure.code == "INVALID_ARGUMENT"
    assert "x-team-id" in failure.text
    assert failure.info.domain == "allod"


def test_nothing_strayed(web, store):
    names = [app["name"] for app in web("GET", "/app?page_size=1000", store.alice.headers()).json()["data"]]
    assert "stray" not in names


def test_case_of_the_team_does_not_matter(web, store, apps, alice):
    for team in (store.team, store.team.upper()):
        assert web("GET", f"/app/{apps[1]}", store.alice.headers(team)).status == 200
        assert alice.by(store.alice.headers(team))("GetApp", id=apps[1]).id == apps[1]


def test_case_of_header_names_does_not_matter(http1, store, apps):
    headers = [("X-API-KEY", store.alice.key), ("X-Team-Id", store.team)]
    assert http1("GET", f"/app/{apps[1]}", headers).status == 200


def test_space_around_values_does_not_matter(http1, store, apps):
    headers = [("x-api-key", f" {store.alice.key}  "), ("x-team-id", f"  {store.team} ")]
    assert http1("GET", f"/app/{apps[1]}", headers).status == 200


def test_team_of_others_and_no_team_are_the_same(web, store, alice, carol):
    """The same bytes, whether the team exists or not."""
    answers = [web("GET", "/app", store.carol.headers(team)) for team in (store.team, new_id())]
    assert answers[0].status == 403
    assert answers[0].json() == NOT_MEMBER
    assert (answers[0].status, answers[0].body) == (answers[1].status, answers[1].body)
    failures = [carol.by(store.carol.headers(team)).fails("ListApps") for team in (store.team, new_id())]
    assert failures[0].code == "PERMISSION_DENIED"
    assert failures[0].text == NOT_MEMBER["error"]
    assert failures[0].info.reason == "NOT_A_MEMBER"
    assert failures[0].details == failures[1].details


@pytest.mark.parametrize("claims,status", [
    ([], 200), (["{own}"], 200), (["{OWN}"], 200), (["{other}"], 403), ([""], 403), (["null"], 403),
    (["{own}", "{own}"], 403),
    (["{own},{own}"], 403), (["x"], 403)])
def test_claimed_user(web, store, apps, alice, claims, status):
    """Never a source of identity: it may only agree with the key."""
    values = [claim.format(own=store.alice.id, OWN=store.alice.id.upper(), other=store.bob.id) for claim in claims]
    headers = store.alice.headers() + [("x-authenticated-user-id", value) for value in values]
    answer = web("GET", f"/app/{apps[0]}", headers)
    assert answer.status == status
    client = alice.by(headers)
    if status == 200:
        assert client("GetApp", id=apps[0]).id == apps[0]
        return
    assert answer.json() == WRONG_USER
    failure = client.fails("GetApp", id=apps[0])
    assert (failure.code, failure.text, failure.info.reason) == ("PERMISSION_DENIED", WRONG_USER["error"], "WRONG_USER")


def test_claimed_user_is_no_identity(web, store, apps):
    """Somebody else's id beside one's own key opens nothing."""
    headers = store.carol.headers() + [("x-authenticated-user-id", store.alice.id)]
    answer = web("GET", f"/app/{apps[0]}", headers)
    assert (answer.status, answer.json()) == (403, WRONG_USER)


def test_scopes_do_not_mix(web, store, apps):
    """Personal things with the header and team things without it are not found."""
    own, team = apps
    for app, headers in [(own, store.alice.headers(store.team)), (team, store.alice.headers()),
                         (own, store.bob.headers()),
                         (team, store.bob.headers()), (team, store.carol.headers())]:
        answer = web("GET", f"/app/{app}", headers)
        assert (answer.status, answer.error()) == (404, f"App with ID '{app}' not found.")
    assert web("GET", f"/app/{team}", store.bob.headers(store.team)).status == 200


def test_one_key_serves_all_scopes(web, store, apps):
    own, team = apps
    assert web("GET", f"/app/{own}", store.alice.headers()).status == 200
    assert web("GET", f"/app/{team}", store.alice.headers(store.team)).status == 200

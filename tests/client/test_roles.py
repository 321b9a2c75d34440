"""The role matrix, end to end: every role, every method of a team's scope, each setting on and off."""

import pytest

import rpcs
from harness import JSON, app_body, new_id
from rpcs import V1

SETTINGS = ["member_can_create", "member_can_edit", "member_can_run", "member_can_delete", "member_can_share"]
ROLES = ["OWNER", "ADMIN", "MEMBER"]

# Method -> what decides for a MEMBER: True, False or a setting; then whether an ADMIN may.
METHODS = {
    "ListApps": (True, True),
    "GetApp": (True, True),
    "CreateApp": ("member_can_create", True),
    "UpdateApp": ("member_can_edit", True),
    "DeleteApp": ("member_can_delete", True),
    "ListJobs": (True, True),
    "GetJob": (True, True),
    "RunJob": ("member_can_run", True),
    "CancelJob": ("member_can_run", True),
    "GetTeam": (True, True),
    "ListMembers": (True, True),
    "UpdateTeam": (False, True),
    "InviteMember": (False, True),
    "UpdateMember": (False, True),
    "RemoveMember": (False, True),
    "DeleteTeam": (False, False),
    # The same methods where they touch an OWNER.
    "InviteMember OWNER": (False, False),
    "UpdateMember to OWNER": (False, False),
    "UpdateMember of OWNER": (False, False),
    "RemoveMember OWNER": (False, False),
}

REST = {
    "ListApps": ("GET", "/app", None, 200),
    "GetApp": ("GET", "/app/{app}", None, 200),
    "CreateApp": ("POST", "/app", app_body(), 201),
    "UpdateApp": ("PUT", "/app/{app}", {"name": "changed"}, 200),
    "DeleteApp": ("DELETE", "/app/{app}", None, 204),
    "ListJobs": ("GET", "/app/{app}/job", None, 200),
    "GetJob": ("GET", "/app/{app}/job/{job}", None, 200),
    "RunJob": ("POST", "/app/{app}/run_async", {"input": {}}, 200),
    "CancelJob": ("PUT", "/app/{app}/job/{job}", None, 200),
}

NAMED = {"CreateApp": "CREATE", "UpdateApp": "EDIT", "DeleteApp": "DELETE", "RunJob": "RUN", "CancelJob": "RUN"}


class Crew:
    """A team of alice's; dave is what the test makes him. Its methods may be called again and again."""

    def __init__(self, store, channel):
        self.store, self.channel = store, channel
        self.alice = rpcs.Client(channel, store.alice.headers())
        self.dave = rpcs.Client(channel, store.dave.headers())
        self.team = self.alice("CreateTeam", team=V1.Team(name="matrix")).id
        self.owner = rpcs.Client(channel, store.alice.headers(self.team))
        self.actor = rpcs.Client(channel, store.dave.headers(self.team))
        for person, client in ((store.dave, self.dave), (store.bob, rpcs.Client(channel, store.bob.headers()))):
            self.alice("InviteMember", team_id=self.team, user_id=person.id, role=V1.ROLE_MEMBER)
            client("AcceptInvitation", team_id=self.team)
        self.app = self.owner("CreateApp", app=rpcs.app()).id
        self.job = self.owner("RunJob", app_id=self.app, input="{}").id

    def set(self, role, on):
        settings = V1.TeamSettings(**{name: name in on for name in SETTINGS})
        self.alice("UpdateTeam", team=V1.Team(id=self.team, settings=settings), update_mask={"paths": ["settings"]})
        self.alice("UpdateMember", team_id=self.team, user_id=self.store.dave.id, role=getattr(V1, f"ROLE_{role}"))

    def request(self, method):
        """Arguments that pass for an OWNER without lasting effect; where there would be one, of what does not exist."""
        bob, alice = self.store.bob.id, self.store.alice.id
        return {
            "ListApps": {}, "GetApp": dict(id=self.app), "CreateApp": dict(app=rpcs.app(), validate_only=True),
            "UpdateApp": dict(app=V1.App(id=self.app, name="n"), validate_only=True), "DeleteApp": dict(id=new_id()),
            "ListJobs": dict(app_id=self.app), "GetJob": dict(id=self.job, app_id=self.app),
            "RunJob": dict(app_id=self.app, input="{}"),
            "CancelJob": dict(id=self.job, app_id=self.app), "GetTeam": dict(id=self.team),
            "ListMembers": dict(team_id=self.team),
            "UpdateTeam": dict(team=V1.Team(id=self.team, name="matrix")),
            "InviteMember": dict(team_id=self.team, user_id=new_id(), role=V1.ROLE_ADMIN),
            "UpdateMember": dict(team_id=self.team, user_id=bob, role=V1.ROLE_MEMBER),
            "RemoveMember": dict(team_id=self.team, user_id=new_id()), "DeleteTeam": dict(id=self.team, etag="0-0"),
            "InviteMember OWNER": dict(team_id=self.team, user_id=new_id(), role=V1.ROLE_OWNER),
            "UpdateMember to OWNER": dict(team_id=self.team, user_id=new_id(), role=V1.ROLE_OWNER),
            "UpdateMember of OWNER": dict(team_id=self.team, user_id=alice, role=V1.ROLE_OWNER),
            "RemoveMember OWNER": dict(team_id=self.team, user_id=alice),
        }[method]

    def passes(self, method, outcome):
        """The role let it through: it did what was asked, or came to a later check: that what it names exists, or
        DeleteTeam's etag."""
        return outcome in {"DeleteApp": ["NOT_FOUND"], "RemoveMember": ["NOT_FOUND"], "DeleteTeam": ["ABORTED"],
                           "UpdateMember to OWNER": ["NOT_FOUND"], "RemoveMember OWNER": ["OK"]}.get(method, ["OK"])


@pytest.fixture(scope="module")
def crew(store, channel):
    return Crew(store, channel)


def allowed(role, method, on):
    member, admin = METHODS[method]
    if role == "OWNER":
        return True
    if role == "ADMIN":
        return admin
    return member if isinstance(member, bool) else member in on


CASES = [(role, on) for role in ROLES for on in [set(), set(SETTINGS), *({name} for name in SETTINGS),
                                                *(set(SETTINGS) - {name} for name in SETTINGS)]]


@pytest.mark.parametrize("role,on", CASES, ids=[f"{role}:{'+'.join(sorted(on)) or 'none'}" for role, on in CASES])
def test_matrix(crew, http1, role, on):
    """The change of role and settings holds from the next request on, on both faces."""
    crew.set(role, on)
    for method in METHODS:
        if role == "OWNER" and method == "RemoveMember OWNER":
            continue  # it would remove alice; test_teams.py has it
        want = allowed(role, method, on)
        request = crew.request(method)
        client = crew.actor
        name = method.split()[0]
        outcome = client.outcome(name, **request)
        assert crew.passes(method, outcome) if want else outcome == "PERMISSION_DENIED", (method, outcome)
    for method, (verb, path, body, status) in REST.items():
        if method == "DeleteApp":
            app = crew.owner("CreateApp", app=rpcs.app()).id
        else:
            app = crew.app
        headers = crew.store.dave.headers(crew.team) + (JSON if body else [])
        answer = http1(verb, path.format(app=app, job=crew.job), headers, body)
        if allowed(role, method, on):
            assert answer.status == status, (method, answer)
        else:
            assert answer.status == 403, (method, answer)
            assert NAMED[method] in answer.error(), "names the permission that is missing"


def test_last_of_the_matrix(crew):
    """The team is as it was: nothing above did what was forbidden."""
    members = {member.user_id: member.role for member in crew.alice("ListMembers", team_id=crew.team).members}
    assert members == {crew.store.alice.id: V1.ROLE_OWNER, crew.store.bob.id: V1.ROLE_MEMBER,
                       crew.store.dave.id: members[crew.store.dave.id]}
    assert crew.alice("GetTeam", id=crew.team).name == "matrix"
    assert crew.owner("GetApp", id=crew.app).id == crew.app


@pytest.mark.parametrize("setting,method,fields", [
    ("member_can_create", "CreateApp", lambda crew: dict(app=rpcs.app())),
    ("member_can_edit", "UpdateApp", lambda crew: dict(
        app=V1.App(id=crew.app, name="n"))), ("member_can_run", "RunJob",
                                              lambda crew: dict(app_id=crew.app, input="{}"))])
def test_change_holds_at_once(crew, setting, method, fields):
    """Off, on, off, on: each very next call goes by it. No cache lags, on any connection."""
    crew.set("MEMBER", set(SETTINGS))
    for _ in range(5):
        for on in (False, True):
            crew.alice("UpdateTeam", team=V1.Team(id=crew.team, settings=V1.TeamSettings(**{setting: on})),
                       update_mask={"paths": [f"settings.{setting}"]})
            assert crew.actor.outcome(method, **fields(crew)) == ("OK" if on else "PERMISSION_DENIED")


def test_removal_holds_at_once(crew, http1):
    for _ in range(3):
        crew.alice("RemoveMember", team_id=crew.team, user_id=crew.store.dave.id)
        assert crew.actor.outcome("GetApp", id=crew.app) == "PERMISSION_DENIED"
        answer = http1("GET", f"/app/{crew.app}", crew.store.dave.headers(crew.team))
        assert (answer.status, answer.error()) == (403, "You are not a member of this team.")
        crew.alice("InviteMember", team_id=crew.team, user_id=crew.store.dave.id, role=V1.ROLE_MEMBER)
        crew.dave("AcceptInvitation", team_id=crew.team)
        assert crew.actor.outcome("GetApp", id=crew.app) == "OK"


def test_personal_scope_allows_everything(carol):
    app = carol("CreateApp", app=rpcs.app())
    job = carol("RunJob", app_id=app.id, input="{}")
    carol("UpdateApp", app=V1.App(id=app.id, name="n"))
    carol("CancelJob", id=job.id, app_id=app.id)
    carol("DeleteApp", id=app.id)

"""TeamService and KeyService by gRPC: teams, members, invitations, keys; changes hold from the next request on."""

import time

import pytest

import rpcs
from harness import new_id
from rpcs import V1


@pytest.fixture
def team(alice):
    return alice("CreateTeam", team=V1.Team(name="team"))


def join(owner, team, client, person, role=V1.ROLE_MEMBER):
    owner("InviteMember", team_id=team.id, user_id=person.id, role=role)
    return client("AcceptInvitation", team_id=team.id)


# ---- Teams ----

def test_create(alice, store):
    got = alice("CreateTeam", team=V1.Team(name="t"))
    assert (got.name, got.created_by) == ("t", store.alice.id)
    assert got.settings == V1.TeamSettings(member_can_create=True, member_can_edit=True, member_can_run=True)
    assert got.created_at == got.updated_at and got.etag
    assert alice("GetTeam", id=got.id) == got
    (member,) = alice("ListMembers", team_id=got.id).members
    assert (member.user_id, member.team_id, member.role) == (store.alice.id, got.id, V1.ROLE_OWNER)


def test_settings_sent_at_creation_replace_all(alice):
    got = alice("CreateTeam", team=V1.Team(name="t", settings=V1.TeamSettings(member_can_share=True)))
    assert got.settings == V1.TeamSettings(member_can_share=True)


@pytest.mark.parametrize("name", ["", "x" * 201])
def test_bad_name(alice, team, name):
    assert "team.name" in alice.fails("CreateTeam", team=V1.Team(name=name)).fields
    failure = alice.fails("UpdateTeam", team=V1.Team(id=team.id, name=name), update_mask={"paths": ["name"]})
    assert "team.name" in failure.fields


def test_update(alice, team):
    got = alice("UpdateTeam", team=V1.Team(id=team.id, name="new", settings=V1.TeamSettings(member_can_delete=True)))
    assert (got.name, got.settings.member_can_delete, got.settings.member_can_edit) == ("new", True, True)
    got = alice("UpdateTeam", team=V1.Team(id=team.id, settings=V1.TeamSettings()),
                update_mask={"paths": ["settings.member_can_edit"]})
    assert (got.settings.member_can_edit, got.settings.member_can_delete, got.name) == (False, True, "new")
    got = alice("UpdateTeam", team=V1.Team(id=team.id, settings=V1.TeamSettings(member_can_run=True)),
                update_mask={"paths": ["settings"]})
    assert got.settings == V1.TeamSettings(member_can_run=True)
    assert alice.fails("UpdateTeam", team=V1.Team(id=team.id, name="x", etag=team.etag)).code == "ABORTED"
    assert "update_mask" in alice.fails("UpdateTeam", team=V1.Team(id=team.id), update_mask={"paths": ["nam"]}).fields


def test_list(alice, bob, store, team):
    join(alice, team, bob, store.bob)
    mine = [one.id for one in alice("ListTeams", page_size=1000).teams]
    assert team.id in mine and store.team in mine
    assert team.id in [one.id for one in bob("ListTeams").teams]
    pages, token = [], ""
    while True:
        reply = alice("ListTeams", page_size=2, page_token=token)
        pages += [one.id for one in reply.teams]
        token = reply.next_page_token
        if not token:
            break
    assert pages == mine


def test_delete(alice, bob, store, team):
    """With everything in it, for its members too; the key then is a stranger's."""
    join(alice, team, bob, store.bob)
    in_team = alice.by(store.alice.headers(team.id))
    app = in_team("CreateApp", app=rpcs.app())
    assert alice.fails("DeleteTeam", id=team.id, etag="0-0").code == "ABORTED"
    alice("DeleteTeam", id=team.id, etag=alice("GetTeam", id=team.id).etag)
    for client in (alice, bob):
        failure = client.fails("GetTeam", id=team.id)
        assert (failure.code, failure.text) == ("PERMISSION_DENIED", "You are not a member of this team.")
        assert team.id not in [one.id for one in client("ListTeams", page_size=1000).teams]
    assert in_team.outcome("GetApp", id=app.id) == "PERMISSION_DENIED"


# ---- Members ----

def test_invitation(alice, bob, store, team):
    sent = alice("InviteMember", team_id=team.id, user_id=store.bob.id, role=V1.ROLE_ADMIN)
    assert (sent.team_id, sent.team_name, sent.user_id, sent.role, sent.invited_by) == (team.id, "team", store.bob.id,
                                                                                        V1.ROLE_ADMIN,
                                                                                       store.alice.id)
    assert bob.outcome("GetTeam", id=team.id) == "PERMISSION_DENIED", "an invitation is no membership"
    received = [one for one in bob("ListInvitations").invitations if one.team_id == team.id]
    assert received == [sent]
    member = bob("AcceptInvitation", team_id=team.id)
    assert (member.user_id, member.team_id, member.role) == (store.bob.id, team.id, V1.ROLE_ADMIN)
    assert bob("GetTeam", id=team.id).id == team.id
    assert team.id not in [one.team_id for one in bob("ListInvitations").invitations]
    assert bob.outcome("AcceptInvitation", team_id=team.id) != "OK"
    assert alice.fails("InviteMember", team_id=team.id, user_id=store.bob.id,
                       role=V1.ROLE_MEMBER).code == "ALREADY_EXISTS"


def test_second_invitation_replaces_the_first(alice, bob, store, team):
    for role in (V1.ROLE_ADMIN, V1.ROLE_MEMBER):
        alice("InviteMember", team_id=team.id, user_id=store.bob.id, role=role)
    assert [one.role for one in bob("ListInvitations").invitations if one.team_id == team.id] == [V1.ROLE_MEMBER]
    assert bob("AcceptInvitation", team_id=team.id).role == V1.ROLE_MEMBER


def test_decline(alice, bob, store, team):
    alice("InviteMember", team_id=team.id, user_id=store.bob.id, role=V1.ROLE_MEMBER)
    bob("DeclineInvitation", team_id=team.id)
    assert bob.outcome("AcceptInvitation", team_id=team.id) == "NOT_FOUND"
    assert bob.outcome("GetTeam", id=team.id) == "PERMISSION_DENIED"


def test_invitation_does_not_tell_who_exists(alice, team):
    ghost = new_id()
    sent = alice("InviteMember", team_id=team.id, user_id=ghost, role=V1.ROLE_MEMBER)
    assert (sent.user_id, sent.team_id) == (ghost, team.id)


def test_invitation_is_as_good_as_its_sender(alice, bob, dave, store, team):
    join(alice, team, dave, store.dave, V1.ROLE_ADMIN)
    dave("InviteMember", team_id=team.id, user_id=store.bob.id, role=V1.ROLE_MEMBER)
    alice("UpdateMember", team_id=team.id, user_id=store.dave.id, role=V1.ROLE_MEMBER)
    assert bob.outcome("AcceptInvitation", team_id=team.id) == "NOT_FOUND"


def test_nobody_elses_invitation(alice, carol, bob, store, team):
    alice("InviteMember", team_id=team.id, user_id=store.bob.id, role=V1.ROLE_MEMBER)
    failures = [carol.fails(method, team_id=team_id) for method in ("AcceptInvitation", "DeclineInvitation")
                for team_id in (team.id, new_id())]
    assert failures[0].details == failures[1].details
    assert failures[2].details == failures[3].details
    assert bob("AcceptInvitation", team_id=team.id)


def test_roles(alice, bob, store, team):
    join(alice, team, bob, store.bob)
    assert alice("UpdateMember", team_id=team.id, user_id=store.bob.id, role=V1.ROLE_ADMIN).role == V1.ROLE_ADMIN
    assert bob("UpdateTeam", team=V1.Team(id=team.id, name="by bob")).name == "by bob"
    alice("RemoveMember", team_id=team.id, user_id=store.bob.id)
    assert bob.outcome("GetTeam", id=team.id) == "PERMISSION_DENIED"
    assert alice.outcome("UpdateMember", team_id=team.id, user_id=store.bob.id, role=V1.ROLE_MEMBER) == "NOT_FOUND"
    assert alice.outcome("RemoveMember", team_id=team.id, user_id=store.bob.id) == "NOT_FOUND"


def test_last_owner_stays(alice, bob, store, team):
    for method, fields in [("LeaveTeam", {}), ("RemoveMember", dict(user_id=store.alice.id)),
                           ("UpdateMember", dict(user_id=store.alice.id, role=V1.ROLE_ADMIN))]:
        failure = alice.fails(method, team_id=team.id, **fields)
        assert (failure.code, failure.info.reason) == ("FAILED_PRECONDITION", "WRONG_STATE"), (method, failure)
    join(alice, team, bob, store.bob, V1.ROLE_OWNER)
    alice("LeaveTeam", team_id=team.id)
    assert alice.outcome("GetTeam", id=team.id) == "PERMISSION_DENIED"
    assert bob.outcome("LeaveTeam", team_id=team.id) == "FAILED_PRECONDITION"


@pytest.mark.parametrize("method,fields", [
    ("GetTeam", dict(id="x")), ("DeleteTeam", dict(id="")), ("ListMembers", dict(team_id="null")),
    ("UpdateMember", dict(team_id="x", user_id="y", role=1)), ("RemoveMember", dict(team_id=new_id(), user_id="y")),
    ("LeaveTeam", dict(team_id="{}")), ("InviteMember", dict(team_id=new_id(), user_id="", role=3)),
    ("AcceptInvitation", dict(team_id="")), ("DeclineInvitation", dict(team_id="x")),
    ("UpdateTeam", dict(team=V1.Team(id="x", name="n"))),
    ("UpdateTeam", {}), ("CreateTeam", {})])
def test_bad_arguments(alice, method, fields):
    failure = alice.fails(method, **fields)
    assert failure.code == "INVALID_ARGUMENT", failure
    assert failure.fields


@pytest.mark.parametrize("method", ["InviteMember", "UpdateMember"])
def test_bad_role(alice, store, team, method):
    for role in (0, 4):
        assert "role" in alice.fails(method, team_id=team.id, user_id=store.bob.id, role=role).text


def test_team_header_must_agree(alice, store, team):
    """x-team-id left out or equal to the team named; another team, even one's own, is a bad argument."""
    assert alice.by(store.alice.headers(team.id))("GetTeam", id=team.id).id == team.id
    failure = alice.by(store.alice.headers(store.team)).fails("GetTeam", id=team.id)
    assert failure.code == "INVALID_ARGUMENT" and "x-team-id" in failure.text
    assert alice.by(store.alice.headers(new_id())).fails("GetTeam", id=team.id).code == "PERMISSION_DENIED"
    for method, fields in [("CreateTeam", dict(team=V1.Team(name="x"))), ("ListTeams", {}), ("ListInvitations", {}),
                           ("ListKeys", {}),
                           ("CreateKey", dict(name="x")), ("RevokeKey", dict(id=new_id()))]:
        failure = alice.by(store.alice.headers(team.id)).fails(method, **fields)
        assert failure.code == "INVALID_ARGUMENT" and "x-team-id" in failure.text, (method, failure)


def test_stranger_cannot_tell_teams_apart(carol, store, team):
    """Members' methods on a team of others and on none: the same bytes."""
    for method, fields in [("GetTeam", {"id": ...}), ("DeleteTeam", {"id": ...}), ("ListMembers", {"team_id": ...}),
                           ("UpdateMember", dict(team_id=..., user_id=store.alice.id, role=3)),
                           ("LeaveTeam", dict(team_id=...)),
                           ("RemoveMember", dict(team_id=..., user_id=store.alice.id)),
                           ("InviteMember", dict(team_id=..., user_id=store.carol.id, role=1))]:
        failures = [carol.fails(method, **{name: team_id if value is ... else value for name, value in fields.items()})
                    for team_id in (team.id, new_id())]
        assert failures[0].code == "PERMISSION_DENIED", (method, failures)
        assert failures[0].text == "You are not a member of this team."
        assert failures[0].details == failures[1].details


# ---- Keys ----

def test_keys(alice, store, channel):
    made = alice("CreateKey", name="second")
    assert made.secret.startswith("allod_sk_") and len(made.secret) == len("allod_sk_") + 38
    assert made.secret[9:].isalnum()
    assert made.key.name == "second" and made.key.created_at.seconds > 0
    assert not (made.key.HasField("expires_at") or made.key.HasField("last_used_at") or made.key.HasField("revoked_at"))
    second = rpcs.Client(channel, [("x-api-key", made.secret)])
    assert second("CreateApp", app=rpcs.app()).created_by == store.alice.id
    assert rpcs.Client(channel, [("x-api-key", made.secret), ("x-team-id", store.team)]).outcome("ListApps") == "OK"
    keys = alice("ListKeys", page_size=1000).keys
    assert keys[0].id == made.key.id, "newest first"
    assert made.secret not in str(keys)

    second("RevokeKey", id=made.key.id)
    assert second.outcome("ListApps") == "UNAUTHENTICATED", "from the next request on"
    alice("RevokeKey", id=made.key.id)
    (listed,) = [key for key in alice("ListKeys", page_size=1000).keys if key.id == made.key.id]
    assert listed.HasField("revoked_at")


def test_secrets_are_different(alice):
    secrets = {alice("CreateKey", name="n").secret for _ in range(20)}
    assert len(secrets) == 20


def test_expiry(alice, channel):
    request = V1.CreateKeyRequest(name="short")
    request.expires_at.FromSeconds(int(time.time()) - 10)
    failure = alice.fails("CreateKey", request)
    assert failure.code == "INVALID_ARGUMENT" and "expires_at" in failure.fields
    soon = int(time.time() * 1000) + 1500
    request.expires_at.seconds, request.expires_at.nanos = soon // 1000, soon % 1000 * 1_000_000
    made = alice("CreateKey", request)
    client = rpcs.Client(channel, [("x-api-key", made.secret)])
    assert client.outcome("ListApps") == "OK"
    deadline = time.monotonic() + 30
    while client.outcome("ListApps") == "OK":
        assert time.monotonic() < deadline
    assert time.time() * 1000 >= soon
    assert client.outcome("ListApps") == "UNAUTHENTICATED"


@pytest.mark.parametrize("fields,named", [(dict(name=""), "name"), (dict(name="x" * 201), "name"),
                                          (dict(name="n", expires_at=dict(seconds=2**40)), "expires_at"),
                                          (dict(name="n", expires_at=dict(seconds=1, nanos=-1)), "expires_at"),
                                          (dict(name="n", expires_at=dict(seconds=32503680000, nanos=10**9)),
                                           "expires_at")])
def test_bad_key(alice, fields, named):
    failure = alice.fails("CreateKey", **fields)
    assert failure.code == "INVALID_ARGUMENT" and named in failure.fields, failure


def test_nobody_elses_key(alice, bob):
    made = alice("CreateKey", name="n")
    failures = [bob.fails("RevokeKey", id=key_id) for key_id in (made.key.id, new_id())]
    assert failures[0].code == "NOT_FOUND"
    assert failures[0].details == failures[1].details
    assert alice.fails("RevokeKey", id="x").code == "INVALID_ARGUMENT"
    assert made.key.id not in [key.id for key in bob("ListKeys", page_size=1000).keys]

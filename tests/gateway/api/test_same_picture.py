"""The same picture once more: the same token, and nobody enrolled twice."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from gateway.api.routes import makes_groups
from settings.gateway import GatewayConfig
from tests.support.gateway.alone import LoneGateway
from tests.support.gateway.client import (
    FACE,
    PICTURE,
    SIMILAR,
    STYLES,
    App,
    by_token,
    new_app,
    version,
)
from tests.support.pictures import crowd

ADA = {"group_id": "staff", "user_id": "eileen"}
OTHER = {"group_id": "staff", "user_id": "collins"}
FACE_EXISTS = 223105


def tokens_in(app: App, image: str, most: int) -> list[str]:
    return [face["face_token"] for face in app.detect(image, max_face_num=most)["face_list"]]


def test_the_same_picture_has_the_same_token(any_app):
    token = any_app.token(FACE)
    assert any_app.token(FACE) == token
    assert any_app.token("data:image/jpeg;base64," + FACE) == token
    assert any_app.token(version(1)) not in (token, any_app.token(version(2)))


def test_each_face_of_a_picture_has_one_token_however_many_are_asked_for(app):
    every = tokens_in(app, crowd(2), 4)
    assert len(set(every)) == 4
    assert set(tokens_in(app, crowd(2), 4)) == set(every)
    assert set(tokens_in(app, crowd(2), 2)) <= set(every)


def test_another_app_has_another_token(app, service):
    assert app.token(FACE) != App(service.gateway_url, new_app()).token(FACE)


def test_every_operation_names_a_face_alike(app):
    token = app.token(FACE)
    app.result("group/add", group_id="staff")
    assert app.enrol("staff", "eileen", FACE) == token
    assert app.tokens("staff", "eileen") == [token]
    found = app.result("face/identify", **PICTURE, group_id_list="staff")
    assert found["face_token"] == token
    several = app.result("face/multi-search", **PICTURE, group_id_list="staff")
    assert several["face_list"][0]["face_token"] == token


@pytest.fixture(scope="module")
def other_gateway(service, tmp_path_factory):
    """On the service's database, and making groups in the cloud's spelling, too."""
    gateway = LoneGateway(
        tmp_path_factory.mktemp("other"),
        service,
        library={"database": f"sqlite:///{service.directory}/data/faces.db"},
        create_groups="all",
    )
    yield gateway.start()
    gateway.stop()


def test_a_gateway_on_the_same_database_names_a_face_alike(app, other_gateway):
    assert App(other_gateway.url, app.name).token(FACE) == app.token(FACE)


@pytest.mark.parametrize("whom", [ADA, OTHER])
def test_a_face_is_not_enrolled_twice_in_a_group(populated, whom):
    token = populated.token(FACE)
    for picture in (PICTURE, by_token(token)):
        answer = populated.ask("face/add", **picture, **whom)
        assert (answer["error_code"], answer["error_msg"]) == (FACE_EXISTS, "face is already exist")
    assert populated.users("staff") == ["eileen"]
    assert populated.tokens("staff", "eileen") == [token]


def test_a_client_that_sends_a_picture_21_times_has_one_face(app):
    app.result("group/add", group_id="staff")
    codes = [app.code("face/add", **PICTURE, **ADA) for _ in range(21)]
    assert codes == [0, *[FACE_EXISTS] * 20]
    assert len(app.tokens("staff", "eileen")) == 1


def test_of_clients_that_send_a_picture_at_once_one_enrols_it(app, service):
    app.result("group/add", group_id="staff")

    def add(number: int) -> int:
        client = App(service.gateway_url, app.name)
        return client.code("face/add", **PICTURE, group_id="staff", user_id=f"u{number % 2}")

    with ThreadPoolExecutor(8) as pool:
        codes = sorted(pool.map(add, range(8)))
    assert codes == [0, *[FACE_EXISTS] * 7]
    assert len(app.users("staff")) == 1


def test_another_group_may_have_the_same_face(populated):
    assert populated.enrol("guests", "eileen", FACE) == populated.token(FACE)
    populated.result("face/delete", **ADA, face_token=populated.token(FACE))
    assert populated.users("staff") == []
    assert populated.tokens("guests", "eileen") == [populated.token(FACE)]


def test_another_app_may_have_the_same_face(populated, service):
    other = App(service.gateway_url, new_app())
    other.result("group/add", group_id="staff")
    other.enrol("staff", "eileen", FACE)


@pytest.mark.parametrize("path", ["face/update", "face/add"])
def test_replacing_a_users_faces_by_one_that_the_user_has_leaves_that_one(populated, path):
    populated.enrol("staff", "eileen", SIMILAR)
    options = {"action_type": "REPLACE"} if path == "face/add" else {}
    for _ in range(2):  # as a client that has lost the first answer
        populated.result(path, **PICTURE, **ADA, **options)
        assert populated.tokens("staff", "eileen") == [populated.token(FACE)]
    found = populated.result("face/identify", **PICTURE, group_id_list="staff")
    assert found["user_list"][0]["user_id"] == "eileen"


def test_replacing_a_users_faces_by_anothers_changes_nothing(populated):
    theirs = populated.enrol("staff", "collins", SIMILAR)
    assert populated.code("face/update", **PICTURE, **OTHER) == FACE_EXISTS
    assert populated.tokens("staff", "collins") == [theirs]


def test_a_deleted_face_may_be_enrolled_again(populated):
    populated.result("face/delete", **ADA, face_token=populated.token(FACE))
    populated.enrol("staff", "collins", FACE)
    assert populated.users("staff") == ["collins"]


def test_what_one_look_has_seen_of_a_face_is_known_after_another(populated):
    """A search looks at neither quality nor liveness, and names the face as the detection did."""
    token = populated.token(SIMILAR)
    populated.result("face/identify", **{**PICTURE, "image": SIMILAR}, group_id_list="staff")
    controls = {"quality_control": "LOW", "liveness_control": "LOW"}
    assert populated.code("face/add", **by_token(token), **OTHER, **controls) in (0, 223120)


MAKES = [name for name, style in STYLES.items() if not style.cloud]


@pytest.mark.parametrize("style", STYLES)
def test_a_face_that_is_added_makes_its_group_in_the_private_spelling_only(service, style):
    app = App(service.gateway_url, new_app(), STYLES[style])
    answer = app.ask("face/add", **PICTURE, **ADA)
    if style in MAKES:
        assert answer["error_code"] == 0
        assert (app.groups(), app.users("staff")) == (["staff"], ["eileen"])
        found = app.result("face/identify", **PICTURE, group_id_list="staff")
        assert found["user_list"][0]["user_id"] == "eileen"
    else:
        assert (answer["error_code"], answer["error_msg"]) == (223100, "group is not exist")
        assert app.groups() == []


def test_a_face_that_cannot_be_added_makes_no_group(app):
    assert app.code("face/add", **{**PICTURE, "image": "AAAA"}, **ADA) == 222203
    assert app.code("face/add", **PICTURE, group_id="a-b", user_id="eileen") == 222006
    assert app.groups() == []


def test_that_the_cloud_makes_groups_can_be_set(other_gateway):
    app = App(other_gateway.url, new_app(), STYLES["cloud-json"])
    assert app.code("face/add", **PICTURE, **ADA) == 0
    assert app.groups() == ["staff"]


@pytest.mark.parametrize(
    ("setting", "private", "cloud"),
    [("private", True, False), ("all", True, True), ("none", False, False)],
)
def test_who_makes_groups_by_the_setting(setting, private, cloud):
    assert makes_groups(setting, "/face-api/v3/face/add") == private
    assert makes_groups(setting, "/rest/2.0/face/v3/faceset/user/add") == cloud
    assert GatewayConfig(create_groups=setting).create_groups == setting


def test_the_setting_has_three_values():
    with pytest.raises(ValueError, match="create_groups"):
        GatewayConfig(create_groups="sometimes")
    assert GatewayConfig().create_groups == "private"

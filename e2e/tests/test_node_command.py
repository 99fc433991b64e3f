"""Paths, addresses and names that hold in a container are replaced by those of this machine."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from node_runner.command import Command, Place, build_command, localised_scripts
from node_runner.environment import PodFacts, UnsupportedError
from node_runner.images import Image, keys, parse
from node_runner.names import canonical, parse_hosts, substitute
from node_runner.paths import MountPaths

POD: dict[str, Any] = {
    "metadata": {"name": "p", "namespace": "staging", "uid": "u"},
    "spec": {"containers": []},
}
NAMES = {
    ("inference-canary.staging", 80): "127.40.240.1:10080",
    ("mlflow.ml-system", 5000): "127.40.0.1:5000",
    ("*.envoy-gateway-system", 443): "127.40.0.1:10443",
}
IMAGE = Image(("server",), {"HOST": "0.0.0.0", "A": "image"})
SEGMENT = st.from_regex(r"[a-z]{1,4}", fullmatch=True)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(
        volumes=tmp_path / "volumes",
        folder=tmp_path / "container",
        logs=tmp_path / "logs",
        address="127.40.1.2",
        names=lambda: NAMES,
        api_server=("127.0.0.1", 6443),
    )


def command(place: Place, **container: object) -> Command:
    spec = {"name": "c", "image": "i", **container}
    return build_command(spec, PodFacts(POD, "127.40.1.2", ""), lambda *_: None, IMAGE, place)


def test_the_longest_mount_path_is_replaced_and_a_longer_word_is_not() -> None:
    paths = MountPaths({"/models": Path("/p/m"), "/models/cache": Path("/p/c")})
    text = "/models/a:/models/cache/b --x=/models /models2 /srv/models /models.bak"
    assert paths.replace(text) == "/p/m/a:/p/c/b --x=/p/m /models2 /srv/models /models.bak"


def test_a_path_in_a_url_of_another_host_is_no_mount_path() -> None:
    paths = MountPaths({"/models": Path("/p/m")})
    assert (
        paths.replace("http://host/models file:///models/a") == "http://host/models file:///p/m/a"
    )


def test_a_folder_of_this_machine_stays_where_a_mount_path_is_above_it() -> None:
    paths = MountPaths({"/tmp": Path("/p/t")}, ["/tmp/checkout", "/tmp/checkout/.venv"])
    text = "/tmp/checkout/.venv/bin:/tmp/a:/tmp /tmp/checkout2"
    assert paths.replace(text) == "/tmp/checkout/.venv/bin:/p/t/a:/p/t /p/t/checkout2"


def test_a_program_below_tmp_is_found_where_every_container_has_a_tmp_of_its_own(
    place: Place,
) -> None:
    image = parse(
        'i: {entrypoint: ["{venv}/bin/server"], environment: {PATH: "{venv}/bin:/bin"}}',
        {"venv": "/tmp/checkout/.venv"},
    )["i"]
    spec = {"name": "c", "image": "i", "args": ["--into=/tmp/x"]}
    found = build_command(spec, PodFacts(POD, "", ""), lambda *_: None, image, place)
    assert found.argv == ("/tmp/checkout/.venv/bin/server", f"--into={place.folder}/tmp/x")
    assert found.environment["PATH"] == "/tmp/checkout/.venv/bin:/bin"
    assert found.environment["HOME"] == f"{place.folder}/tmp"


@given(st.lists(SEGMENT, min_size=1, max_size=3), st.lists(SEGMENT, max_size=3))
def test_a_path_below_a_mount_keeps_what_follows(mount: list[str], rest: list[str]) -> None:
    path = "/" + "/".join(mount)
    below = "".join(f"/{segment}" for segment in rest)
    assert MountPaths({path: Path("/pod/v")}).replace(path + below) == f"/pod/v{below}"


@given(st.text("/abm ", max_size=20))
def test_a_text_without_a_mount_path_stays(text: str) -> None:
    assert MountPaths({"/xyz": Path("/p")}).replace(text) == text


def test_command_replaces_the_entrypoint_and_args_follow(place: Place) -> None:
    assert command(place, args=["fetch"]).argv == ("server", "fetch")
    assert command(place, command=["python"], args=["-V"]).argv == ("python", "-V")


def test_a_container_without_any_program_is_refused(place: Place) -> None:
    with pytest.raises(UnsupportedError, match="no command"):
        build_command(
            {"name": "c", "image": "i"}, PodFacts(POD, "", ""), lambda *_: None, Image(), place
        )


def test_every_address_becomes_the_pods_own(place: Place) -> None:
    found = command(place, args=["--bind", "0.0.0.0:80", "10.0.0.0/8"])
    assert found.environment["HOST"] == "127.40.1.2"
    assert found.argv[1:] == ("--bind", "127.40.1.2:80", "10.0.0.0/8")


def test_arguments_and_variables_name_the_folders_of_the_pod(place: Place) -> None:
    found = command(
        place,
        args=["--repository=$(REPOSITORY)"],
        env=[{"name": "REPOSITORY", "value": "/models"}, {"name": "HOME", "value": "/tmp"}],
        volumeMounts=[{"name": "data", "mountPath": "/models", "subPath": "m"}],
    )
    assert found.argv[1] == f"--repository={place.volumes}/data/m"
    assert found.environment["HOME"] == str(place.folder / "tmp")


def test_a_script_gets_a_copy_where_its_text_names_a_mount(place: Place) -> None:
    container = {
        "name": "c",
        "image": "i",
        "command": ["python", "/scripts/a.py"],
        "volumeMounts": [
            {"name": "scripts", "mountPath": "/scripts"},
            {"name": "token", "mountPath": "/var/run/secrets"},
        ],
    }
    texts = {place.volumes / "scripts" / "a.py": 'open("/var/run/secrets/token")'}
    copies = dict(localised_scripts(container, place, texts.get))
    copy = place.folder / "scripts" / "a.py"
    assert copies == {copy: f'open("{place.volumes}/token/token")'}
    copy.parent.mkdir(parents=True)
    copy.write_text(copies[copy])
    assert command(place, **container).argv == ("python", str(copy))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("http://inference-canary", "http://127.40.240.1:10080"),
        ("http://inference-canary:80/v2", "http://127.40.240.1:10080/v2"),
        ("http://inference-canary.staging.svc.cluster.local/x", "http://127.40.240.1:10080/x"),
        ("http://mlflow.ml-system.svc:5000", "http://127.40.0.1:5000"),
        ("mlflow.ml-system:5000", "127.40.0.1:5000"),
        ("http://inference-canary.production", "http://inference-canary.production"),
        ("http://mlflow.ml-system.svc", "http://mlflow.ml-system.svc"),
        ("https://envoy-a-1.envoy-gateway-system.svc/v2", "https://127.40.0.1:10443/v2"),
        ("inference-canary", "inference-canary"),
        ("https://inference-canary", "https://inference-canary"),
    ],
)
def test_a_service_is_named_as_cluster_dns_would_know_it(text: str, found: str) -> None:
    assert substitute(text, "staging", NAMES) == found


@given(SEGMENT, SEGMENT, st.sampled_from(["", ".svc", ".svc.cluster.local"]))
def test_all_forms_of_a_name_are_one(name: str, namespace: str, suffix: str) -> None:
    if name == "svc" or namespace == "svc":
        return
    assert canonical(f"{name}.{namespace}{suffix}", "other") == f"{name}.{namespace}"
    assert canonical(name, namespace) == f"{name}.{namespace}"


def test_a_hosts_file_needs_a_port_on_both_sides() -> None:
    assert parse_hosts({"a.b.svc:1": "127.0.0.1:2"}) == {("a.b", 1): "127.0.0.1:2"}
    for wrong in ({"a.b": "127.0.0.1:2"}, {"a.b:1": "127.0.0.1"}, ["a.b:1"]):
        with pytest.raises(ValueError, match="expected"):
            parse_hosts(wrong)


def test_an_image_is_found_by_its_digest_before_its_tag_and_its_name() -> None:
    assert keys("h:5000/n:1@sha256:a") == [
        "h:5000/n:1@sha256:a",
        "h:5000/n@sha256:a",
        "h:5000/n:1",
        "h:5000/n",
    ]
    assert keys("n") == ["n"]


def test_images_say_which_key_they_do_not_know() -> None:
    assert parse("a: {entrypoint: ['{venv}/x']}", {"venv": "/v"})["a"].entrypoint == ("/v/x",)
    with pytest.raises(ValueError, match="b: expected entrypoint and environment"):
        parse("b: {command: [x]}", {})


def test_the_repositorys_own_images_are_readable() -> None:
    text = (Path(__file__).parents[1] / "images.yaml").read_text()
    server = parse(text, {"venv": "/v", "root": "/r"})["ghcr.io/example/inference-server"]
    assert server.entrypoint == ("/v/bin/inference-server",)
    assert server.environment["HOST"] == "0.0.0.0"

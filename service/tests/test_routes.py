"""Which paths are inferences, and what the server remembers of paths that strangers ask for."""

from inference_server.inference.routes import RouteCache

INFER = b"/v2/models/flowers/infer"


def test_a_path_is_remembered_however_many_strangers_asked_for_others() -> None:
    routes = RouteCache()
    for number in range(5000):
        routes.match(b"/v2/models/unknown-%d/infer" % number)
    assert routes.match(INFER) is not None
    assert routes.match(INFER) is routes.match(INFER)


def test_a_long_target_is_understood_but_not_remembered() -> None:
    routes = RouteCache()
    target = INFER + b"?" + b"&".join(b"name-%d=1" % number for number in range(1000))
    route = routes.match(target)
    assert route is not None
    assert len(route.query) == 1000
    assert routes.match(target) is not route

"""The few calls of Ray that Sayline makes, with actors in this process. Each call of an actor runs at once."""

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any


class RayActorError(Exception):
    pass


class GetTimeoutError(Exception):
    pass


class FakeRay:
    """`down`: actors whose process has died and is not there again. `machines`: as `nodes` tells."""

    exceptions = SimpleNamespace(RayActorError=RayActorError, GetTimeoutError=GetTimeoutError)

    def __init__(self, *machines: str) -> None:
        self.actors: dict[str, Any] = {}
        self.options: dict[str, dict[str, Any]] = {}
        self.down: set[str] = set()
        self.machines = machines
        self.util = SimpleNamespace(get_node_ip_address=lambda: machines[0])

    def init(self, address: str, **options: Any) -> None:
        if not self.machines:
            raise ConnectionError("Could not find any running Ray instance.\nMore lines.")
        self.address, self.init_options = address, options

    def nodes(self) -> list[dict[str, Any]]:
        return [{"NodeManagerAddress": each, "Alive": each != "gone"} for each in self.machines]

    def remote(self, kind: type) -> Any:
        def options(**given: Any) -> Any:
            return SimpleNamespace(remote=lambda *arguments: self._make(kind, given, arguments))

        return SimpleNamespace(options=options)

    def _make(self, kind: type, options: dict[str, Any], arguments: tuple[Any, ...]) -> None:
        name = options["name"]
        if name in self.actors:
            assert options.get("get_if_exists"), f"{name} exists"
            return
        self.options[name] = options
        self.actors[name] = None  # while it is made it can be found
        self.actors[name] = kind(*arguments)

    def get_actor(self, name: str, namespace: str) -> Any:
        assert namespace == "sayline"
        if name not in self.actors:
            raise ValueError(name)
        return FakeHandle(self, name)

    def get(self, call: Callable[[], Any], timeout: float) -> Any:
        return call()

    def kill(self, handle: "FakeHandle", no_restart: bool) -> None:
        assert no_restart
        self.actors.pop(handle.name, None)


class FakeHandle:
    def __init__(self, ray: FakeRay, name: str) -> None:
        self._ray, self.name = ray, name

    def __getattr__(self, method: str) -> Any:
        def call(*arguments: Any) -> Callable[[], Any]:
            def run() -> Any:
                if self.name in self._ray.down:
                    raise RayActorError(self.name)
                while self._ray.actors[self.name] is None:
                    time.sleep(0.001)
                return getattr(self._ray.actors[self.name], method)(*arguments)

            if method == "drain":  # its answer is not asked for
                run()
            return run

        return SimpleNamespace(remote=call)

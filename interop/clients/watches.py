"""What a stateless client has instead of subscriptions: streams that it listens to."""

import json
from contextlib import asynccontextmanager

import anyio
from mcp.client.subscriptions import ResourceUpdated, listen
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

LISTS = ("tools", "prompts", "resources")


class Watches:
    """Streams by name; what comes on them is an event like any notification."""

    def __init__(self, group, session, events):
        self.group = group
        self.session = session
        self.events = events
        self.scopes = {}

    async def start(self, name, **wanted):
        """Opens a stream and waits until the server has said that it is open."""
        await self.group.start(self.follow, name, wanted)
        return {}

    async def stop(self, name):
        self.scopes.pop(name).cancel()
        return {}

    async def follow(self, name, wanted, task_status):
        with anyio.CancelScope() as self.scopes[name]:
            async with listen(self.session, **wanted) as stream:
                task_status.started()
                async for event in stream:
                    self.note(event)

    def note(self, event):
        if isinstance(event, ResourceUpdated):
            self.events.append(("updated", json.dumps({"uri": event.uri})))
        else:
            what = type(event).__name__.removesuffix("ListChanged").lower()
            self.events.append(("changed", f"notifications/{what}/list_changed"))


@asynccontextmanager
async def watching(interpreter, session):
    """Lets the interpreter listen for as long as its steps run, if the session has no state."""
    if session.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        yield
        return
    async with anyio.create_task_group() as group:
        interpreter.watches = Watches(group, session, interpreter.events)
        await interpreter.watches.start("lists", **{f"{what}_list_changed": True for what in LISTS})
        yield
        group.cancel_scope.cancel()

"""A server whose lists change while it runs, in pages of two; on the Python SDK, 2.x, in both eras.

`changing.py [--port PORT]`: without a port it serves over stdio, with one at http://127.0.0.1:PORT/mcp.
"""

import argparse
import warnings

import anyio
import uvicorn
from mcp import types
from mcp.server import NotificationOptions, Server
from mcp.server.stdio import stdio_server
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    ListenHandler,
    PromptsListChanged,
    ResourcesListChanged,
    ResourceUpdated,
    ToolsListChanged,
)
from mcp.shared.exceptions import MCPDeprecationWarning, MCPError

warnings.simplefilter("ignore", MCPDeprecationWarning)

MODERN = "2026-07-28"
PAGE = 2
WATCHED = "changing://watched"
BOOLEAN = {"type": "object", "properties": {"add": {"type": "boolean"}}, "required": ["add"]}
NONE = {"type": "object", "properties": {}}

added = False
watched = set()
bus = InMemorySubscriptionBus()


def paged(kind, key, items):
    """A handler that lists what `items` gives now, page by page; a cursor is the number of the next item."""

    async def answer(_ctx, params):
        start = int((params and params.cursor) or 0)
        all_items = items()
        page = {key: all_items[start : start + PAGE]}
        if start + PAGE < len(all_items):
            page["nextCursor"] = str(start + PAGE)
        return kind.model_validate(page)

    return answer


def tools():
    names = [("change", BOOLEAN), ("touch", NONE), ("talk", NONE), *([("added", NONE)] if added else [])]
    return [{"name": f"changing-{name}", "inputSchema": schema} for name, schema in names]


def prompts():
    return [{"name": f"changing-{name}"} for name in ["one", "two", "three", *(["added"] if added else [])]]


def resources():
    uris = [WATCHED, "changing://two", "changing://three", *(["changing://added"] if added else [])]
    return [{"uri": uri, "name": uri} for uri in uris]


async def tell_changes(session):
    """A stateless client hears of it where it listens, another one in its session."""
    for event in (ToolsListChanged, PromptsListChanged, ResourcesListChanged):
        await bus.publish(event())
    if session.protocol_version < MODERN:
        await session.send_tool_list_changed()
        await session.send_prompt_list_changed()
        await session.send_resource_list_changed()


async def call_tool(ctx, params):
    global added
    match params.name:
        case "changing-change":
            added = params.arguments["add"]
            await tell_changes(ctx.session)
        case "changing-touch":
            await bus.publish(ResourceUpdated(uri=WATCHED))
            if WATCHED in watched:
                await ctx.session.send_resource_updated(WATCHED)
        case "changing-talk":
            await ctx.session.send_log_message("warning", "talking", "changing", related_request_id=ctx.request_id)
        case name if name != "changing-added" or not added:
            raise MCPError(types.INVALID_PARAMS, f"no tool {name!r}")
    return types.CallToolResult(content=[types.TextContent(type="text", text=f"{params.name}: done")])


async def get_prompt(_ctx, params):
    message = types.PromptMessage(role="user", content=types.TextContent(type="text", text=params.name))
    return types.GetPromptResult(messages=[message])


async def read_resource(_ctx, params):
    return types.ReadResourceResult(contents=[types.TextResourceContents(uri=params.uri, text="it has changed")])


async def subscribe(_ctx, params):
    watched.add(params.uri)
    return types.EmptyResult()


async def unsubscribe(_ctx, params):
    watched.discard(params.uri)
    return types.EmptyResult()


async def set_level(_ctx, _params):
    return types.EmptyResult()


class Changing(Server):
    """Says in both eras that its lists change."""

    def create_initialization_options(self, *_options):
        changing = NotificationOptions(prompts_changed=True, resources_changed=True, tools_changed=True)
        return super().create_initialization_options(changing)


def changing():
    return Changing(
        "changing",
        version="1",
        on_list_tools=paged(types.ListToolsResult, "tools", tools),
        on_call_tool=call_tool,
        on_list_prompts=paged(types.ListPromptsResult, "prompts", prompts),
        on_get_prompt=get_prompt,
        on_list_resources=paged(types.ListResourcesResult, "resources", resources),
        on_read_resource=read_resource,
        on_subscribe_resource=subscribe,
        on_unsubscribe_resource=unsubscribe,
        on_subscriptions_listen=ListenHandler(bus),
        on_set_logging_level=set_level,
    )


async def over_stdio(server):
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    port = parser.parse_args().port
    if port is None:
        anyio.run(over_stdio, changing())
    else:
        uvicorn.run(changing().streamable_http_app(), host="127.0.0.1", port=port, log_level="warning")


main()

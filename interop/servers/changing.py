"""A server whose lists change while it runs, in pages of two; on the Python SDK, 2.x, over stdio."""

import warnings

import anyio
from mcp import types
from mcp.server import NotificationOptions, Server
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPDeprecationWarning, MCPError

warnings.simplefilter("ignore", MCPDeprecationWarning)

PAGE = 2
WATCHED = "changing://watched"
BOOLEAN = {"type": "object", "properties": {"add": {"type": "boolean"}}, "required": ["add"]}
NONE = {"type": "object", "properties": {}}

added = False
watched = set()


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


async def call_tool(ctx, params):
    global added
    match params.name:
        case "changing-change":
            added = params.arguments["add"]
            await ctx.session.send_tool_list_changed()
            await ctx.session.send_prompt_list_changed()
            await ctx.session.send_resource_list_changed()
        case "changing-touch":
            for uri in watched:
                await ctx.session.send_resource_updated(uri)
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


async def main():
    server = Server(
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
        on_set_logging_level=set_level,
    )
    changing = NotificationOptions(prompts_changed=True, resources_changed=True, tools_changed=True)
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options(changing))


anyio.run(main)

"""The fastmcp client: the same session as the official one, under an interface of its own."""

import anyio
from fastmcp import Client
from fastmcp.client.transports import StdioTransport, StreamableHttpTransport
from mcp import types

from interpreter import Interpreter, read_specification, report
from watches import watching


class FastInterpreter(Interpreter):
    """What fastmcp has verbs for goes through them; the rest is its session's."""

    def handlers(self):
        return {
            "sampling_handler": lambda _messages, params, context: self.on_sampling(context, params),
            "elicitation_handler": lambda _message, _type, params, context: self.on_elicitation(context, params),
            "roots": [types.Root.model_validate(root) for root in self.answers["roots/list"]["roots"]],
            "log_handler": self.on_log,
            "message_handler": self.on_message,
        }

    async def do_ping(self, client, _step):
        return {} if await client.ping() else await client.session.send_ping()

    async def do_call(self, client, step):
        return await client.call_tool_mcp(step["name"], step["arguments"], **self.meta)

    async def do_read(self, client, step):
        return await client.read_resource_mcp(step["uri"])

    async def do_prompt(self, client, step):
        return await client.get_prompt_mcp(step["name"], step.get("arguments"))

    async def do_complete(self, client, step):
        is_prompt = step["ref"]["type"] == "ref/prompt"
        kind = types.PromptReference if is_prompt else types.ResourceTemplateReference
        return await client.complete_mcp(kind.model_validate(step["ref"]), step["argument"])

    async def do_subscribe(self, client, step):
        return await super().do_subscribe(client.session, step)

    async def do_unsubscribe(self, client, step):
        return await super().do_unsubscribe(client.session, step)

    async def list_all(self, client, what):
        names = {"tools": "list_tools", "prompts": "list_prompts", "resources": "list_resources"}
        self.page = getattr(client, names.get(what, "list_resource_templates") + "_mcp")
        return await super().list_all(client, what)

    async def list_page(self, _method, cursor):
        return await self.page(cursor=cursor)

    async def do_progress(self, client, step):
        notes = []

        async def note(progress, total, message):
            notes.append({"progress": progress, "total": total, "message": message})

        result = await client.call_tool_mcp(step["name"], step["arguments"], progress_handler=note, **self.meta)
        return {"result": result.model_dump(mode="json", by_alias=True, exclude_none=True), "progress": notes}

    async def do_cancel(self, client, step):
        """Cancels a call at its first progress."""
        with anyio.CancelScope() as scope:

            async def enough(_progress, _total, _message):
                scope.cancel()

            return await client.call_tool_mcp(step["name"], step["arguments"], progress_handler=enough)
        return "cancelled"


def transport(target):
    if "url" in target:
        return StreamableHttpTransport(target["url"])
    return StdioTransport(command=target["command"], args=target["args"], env=target.get("env"), keep_alive=False)


async def main():
    specification = read_specification()
    interpreter = FastInterpreter(types, str, specification["answers"])
    mode = specification.get("mode", "auto")
    async with Client(transport(specification["target"]), mode=mode, **interpreter.handlers()) as client:
        async with watching(interpreter, client.session):
            results = await interpreter.run(client, specification["steps"])
    report(results)


anyio.run(main)

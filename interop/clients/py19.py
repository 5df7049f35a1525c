"""The official Python client, 1.9: no elicitation yet, and cursors are plain arguments."""

import anyio
from mcp import ClientSession, StdioServerParameters, types
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamablehttp_client
from pydantic import AnyUrl

from interpreter import Interpreter, read_specification, report


class Interpreter19(Interpreter):
    def callbacks(self):
        return {name: call for name, call in super().callbacks().items() if name != "elicitation_callback"}

    async def list_page(self, method, cursor):
        return await method(cursor)


def streams(target):
    if "url" in target:
        return streamablehttp_client(target["url"])
    return stdio_client(StdioServerParameters(**target))


async def main():
    specification = read_specification()
    interpreter = Interpreter19(types, AnyUrl, specification["answers"])
    async with streams(specification["target"]) as (read, write, *_session_id):
        async with ClientSession(read, write, **interpreter.callbacks()) as session:
            await session.initialize()
            results = await interpreter.run(session, specification["steps"])
    report(results)


anyio.run(main)

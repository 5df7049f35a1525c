"""The official Python client, 1.x: a specification on stdin, results as JSON on stdout."""

from contextlib import asynccontextmanager

import anyio
from mcp import ClientSession, StdioServerParameters, types
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from pydantic import AnyUrl

from interpreter import Interpreter, read_specification, report


@asynccontextmanager
async def streams(target):
    if "url" in target:
        async with streamable_http_client(target["url"]) as (read, write, _session_id):
            yield read, write
    else:
        async with stdio_client(StdioServerParameters(**target)) as (read, write):
            yield read, write


async def main():
    specification = read_specification()
    interpreter = Interpreter(types, AnyUrl, specification["answers"])
    results = None
    try:
        async with streams(specification["target"]) as (read, write):
            async with ClientSession(read, write, **interpreter.callbacks()) as session:
                await session.initialize()
                results = await interpreter.run(session, specification["steps"])
    except* anyio.BrokenResourceError:
        # The 1.x client stumbles over a message that arrives while it closes.
        if results is None:
            raise
    report(results)


anyio.run(main)

"""The official Python client, 2.x: a specification on stdin, results as JSON on stdout."""

import anyio
from mcp import Client, StdioServerParameters, types

from interpreter import Interpreter, read_specification, report


async def main():
    specification = read_specification()
    interpreter = Interpreter(types, str, specification["answers"])
    target = specification["target"]
    server = target["url"] if "url" in target else StdioServerParameters(**target)
    # "auto" is what users get: a probe for the stateless protocol, then `initialize`.
    mode = specification.get("mode", "auto")
    async with Client(server, mode=mode, **interpreter.callbacks()) as client:
        results = await interpreter.run(client.session, specification["steps"])
    report(results)


anyio.run(main)

"""The official Python client, 2.x, in either era: a specification on stdin, results as JSON on stdout."""

import anyio
from mcp import Client, StdioServerParameters, types

from interpreter import Interpreter, read_specification, report
from watches import watching


class Interpreter2(Interpreter):
    async def list_page(self, method, cursor):
        return await method(cursor=cursor)


async def main():
    specification = read_specification()
    interpreter = Interpreter2(types, str, specification["answers"])
    target = specification["target"]
    server = target["url"] if "url" in target else StdioServerParameters(**target)
    # "auto" is what users get: a probe for the stateless protocol, then `initialize`.
    mode = specification.get("mode", "auto")
    async with Client(server, mode=mode, **interpreter.callbacks()) as client:
        async with watching(interpreter, client.session):
            results = await interpreter.run(client, specification["steps"])
    report(results)


anyio.run(main)

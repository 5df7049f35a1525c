"""A small server on the Python SDK 1.9, over stdio: tools, resources, a prompt, and a question back."""

import anyio
from mcp.server.fastmcp import Context, FastMCP
from mcp.types import SamplingMessage, TextContent

server = FastMCP("py19")


@server.tool()
def py19_say(text: str) -> str:
    """Says it again."""
    return text


@server.tool()
async def py19_count(ctx: Context) -> str:
    """Reports progress, and logs."""
    await ctx.info("counting")
    for step in range(1, 5):
        await ctx.report_progress(step, 4)
        await anyio.sleep(0.03)  # some clients drop what comes together with the result
    return "counted to four"


@server.tool()
async def py19_think(ctx: Context) -> str:
    """Asks the client's model."""
    question = SamplingMessage(role="user", content=TextContent(type="text", text="what do you think?"))
    answer = await ctx.session.create_message([question], max_tokens=20)
    return answer.content.text


@server.resource("py19://note")
def note() -> str:
    """One note."""
    return "a note in Python"


@server.resource("py19://double/{number}")
def double(number: str) -> str:
    """Twice the number."""
    return str(2 * int(number))


@server.prompt()
def py19_greet(name: str) -> str:
    """Greets somebody."""
    return f"Greet {name}."


server.run()

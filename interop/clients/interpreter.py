"""Interprets the steps of a scenario on a Python ClientSession of any version."""

import json
import re
import sys
import time
from contextlib import suppress

import anyio

TIMEOUT = 30


class Interpreter:
    """Runs steps on a session; its methods are the session's callbacks."""

    def __init__(self, types, uri, answers):
        self.types = types
        self.uri = uri  # what the SDK wants a URI to be
        self.answers = answers
        self.events = []
        self.asked = {}
        self.watches = None  # of a stateless client: it listens where others subscribe
        self.meta = {}

    # --- callbacks

    def callbacks(self):
        return {
            "sampling_callback": self.on_sampling,
            "elicitation_callback": self.on_elicitation,
            "list_roots_callback": self.on_roots,
            "logging_callback": self.on_log,
            "message_handler": self.on_message,
        }

    async def on_sampling(self, _context, params):
        self.asked["sampling/createMessage"] = dump(params)
        return self.types.CreateMessageResult.model_validate(self.answers["sampling/createMessage"])

    async def on_elicitation(self, _context, params):
        self.asked["elicitation/create"] = dump(params)
        return self.types.ElicitResult.model_validate(self.answer_to(dump(params)))

    def answer_to(self, params):
        # Who has opened a page has nothing to fill in.
        return {"action": "accept"} if params.get("mode") == "url" else self.answers["elicitation/create"]

    async def on_roots(self, _context):
        return self.types.ListRootsResult.model_validate(self.answers["roots/list"])

    async def on_log(self, params):
        self.events.append(("log", json.dumps(dump(params))))

    async def on_message(self, message):
        message = getattr(message, "root", message)
        method = getattr(message, "method", None) or ""
        if method == "notifications/resources/updated":
            self.events.append(("updated", json.dumps(dump(message))))
        elif method.endswith("/list_changed"):
            self.events.append(("changed", method))

    # --- steps

    async def run(self, session, steps):
        return [await self.run_one(session, step) for step in steps]

    async def run_one(self, session, step):
        begin = time.monotonic()
        try:
            with anyio.fail_after(TIMEOUT + 5):
                ok = await getattr(self, "do_" + step["verb"])(session, step)
            result = {"ok": dump(ok)}
        except Exception as error:  # every failure of a step is a result
            inner = getattr(error, "error", None)
            message = getattr(inner, "message", None) or str(error) or type(error).__name__
            result = {"error": {"code": getattr(inner, "code", None), "message": message}}
        result["ms"] = round((time.monotonic() - begin) * 1000)
        return result

    async def do_ping(self, session, _step):
        return await session.send_ping()

    async def do_call(self, session, step):
        return await session.call_tool(step["name"], step["arguments"], **self.meta)

    async def do_read(self, session, step):
        return await session.read_resource(self.uri(step["uri"]))

    async def do_prompt(self, session, step):
        return await session.get_prompt(step["name"], step.get("arguments"))

    async def do_complete(self, session, step):
        is_prompt = step["ref"]["type"] == "ref/prompt"
        # 1.9 calls it a reference to a resource.
        template = getattr(self.types, "ResourceTemplateReference", None) or self.types.ResourceReference
        kind = self.types.PromptReference if is_prompt else template
        return await session.complete(ref=kind.model_validate(step["ref"]), argument=step["argument"])

    async def do_level(self, session, step):
        if self.watches:
            # Since 2026-07-28 it goes with every request.
            self.meta = {"meta": {"io.modelcontextprotocol/logLevel": step["level"]}}
            return {}
        return await session.set_logging_level(step["level"]) or {}

    async def do_subscribe(self, session, step):
        if self.watches:
            return await self.watches.start(step["uri"], resource_subscriptions=[step["uri"]])
        return await session.subscribe_resource(self.uri(step["uri"]))

    async def do_unsubscribe(self, session, step):
        if self.watches:
            return await self.watches.stop(step["uri"])
        return await session.unsubscribe_resource(self.uri(step["uri"]))

    async def do_asked(self, _session, step):
        return self.asked.get(step["method"], "nothing")

    async def do_await(self, _session, step):
        with anyio.move_on_after(10):
            while not any(e == step["event"] and re.search(step["pattern"], text) for e, text in self.events):
                await anyio.sleep(0.02)
            return "seen"
        raise TimeoutError(f"no {step['event']} with {step['pattern']} among {self.events}")

    async def do_list(self, session, step):
        return await self.list_all(session, step["what"])

    async def list_all(self, session, what):
        """Follows all pages; a server without prompts or resources has an empty list of them."""
        method = {"templates": "list_resource_templates"}.get(what, "list_" + what)
        items, cursor = [], None
        for _page in range(100):
            try:
                page = dump(await self.list_page(getattr(session, method), cursor))
            except Exception as error:
                if getattr(getattr(error, "error", None), "code", None) == -32601:
                    return items
                raise
            items += page["resourceTemplates" if what == "templates" else what]
            cursor = page.get("nextCursor")
            if cursor is None:
                return items
        raise RuntimeError("more than 100 pages")

    async def list_page(self, method, cursor):
        return await method(params=self.types.PaginatedRequestParams(cursor=cursor) if cursor else None)

    async def do_ready(self, session, step):
        """Waits until every named tool is listed."""
        missing = set(step["tools"])
        with suppress(TimeoutError), anyio.fail_after(TIMEOUT):
            while missing:
                missing = set(step["tools"]) - {tool["name"] for tool in await self.list_all(session, "tools")}
                if missing:
                    await anyio.sleep(0.2)
        if missing:
            raise TimeoutError(f"tools still missing: {sorted(missing)}")
        return "ready"

    async def do_progress(self, session, step):
        notes = []

        async def note(progress, total, message):
            notes.append({"progress": progress, "total": total, "message": message})

        result = await session.call_tool(step["name"], step["arguments"], progress_callback=note, **self.meta)
        return {"result": dump(result), "progress": notes}

    async def do_cancel(self, session, step):
        """Cancels a call at its first progress."""
        with anyio.CancelScope() as scope:

            async def enough(_progress, _total, _message):
                scope.cancel()

            return await session.call_tool(step["name"], step["arguments"], progress_callback=enough)
        return "cancelled"


def dump(value):
    """Plain JSON of an SDK's model, under the names of the wire."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", by_alias=True, exclude_none=True)
    return value


def read_specification():
    return json.load(sys.stdin)


def report(results):
    json.dump({"results": results}, sys.stdout)
    print(flush=True)

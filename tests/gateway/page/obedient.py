"""The worst language model there can be: it obeys every document, repeats it word for word, and cites what it likes."""

from __future__ import annotations

import json
import random
import re
from typing import Any

from aiohttp import web

PASSAGE = re.compile(r"^(#[0-9a-f]{18}) passage \[(\d+)\] (.*)$", re.MULTILINE)
QUESTION = re.compile(r"^Question: (\w+)", re.MULTILINE)
LIES = " [0] [1] [2] [9] [99] [100] [1, 77] [-1] "


class ObedientModel:
    """An OpenAI-compatible server on the loopback. It streams in pieces that end anywhere."""

    def __init__(self) -> None:
        self.delimiters: set[str] = set()
        self.answers = 0
        self._random = random.Random(24)
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"

    async def stop(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    def obeyed(self, messages: list[dict[str, Any]]) -> str:
        """What the document says that the question is about, its own delimiter, and citations of anything."""
        prompt = messages[-1]["content"]
        asked = QUESTION.findall(prompt)[-1]
        heads = list(PASSAGE.finditer(prompt))
        self.delimiters |= {head.group(1) for head in heads}
        ends = [*(head.start() for head in heads[1:]), prompt.find(f"{heads[0].group(1)} end of passages")]
        for head, end in zip(heads, ends, strict=True):
            text = prompt[head.end() : end]
            if asked in text:
                return f"{head.group(3)}\n\n{text}{LIES}{head.group(1)}"
        return f"Nothing of {asked}.{LIES}"

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        rest = self.obeyed(body["messages"])
        while rest:
            size = self._random.randint(1, 120)
            await self._event(response, {"choices": [{"index": 0, "delta": {"content": rest[:size]}}]})
            rest = rest[size:]
        await self._event(response, {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        await response.write(b"data: [DONE]\n\n")
        self.answers += 1
        return response

    async def _event(self, response: web.StreamResponse, event: dict[str, Any]) -> None:
        await response.write(b"data: " + json.dumps({"object": "chat.completion.chunk", **event}).encode() + b"\n\n")

"""An MCP client: what an assistant does with the tools `search` and `ask`, and with files as resources."""

import asyncio
import os

from mcp import Client


async def main() -> None:
    async with Client(os.environ.get("PENSTOCK_URL", "http://127.0.0.1:8000") + "/mcp") as client:
        print("tools:", ", ".join(tool.name for tool in (await client.list_tools()).tools))
        answer = await client.call_tool("ask", {"question": "Who approves refunds up to 500 euros?"})
        print(answer.structured_content["answer"])
        for citation in answer.structured_content["citations"]:
            passage = await client.read_resource(citation["uri"])
            print(f"  [{citation['number']}] {citation['filename']}: {passage.contents[0].text[:60]!r}")


asyncio.run(main())

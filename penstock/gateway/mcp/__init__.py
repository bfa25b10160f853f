"""`/mcp`: tools and resources for language models, over the Model Context Protocol (extra `mcp`)."""

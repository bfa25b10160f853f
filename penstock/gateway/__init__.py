"""HTTP: OpenAI's API shapes over the pipeline, and one small page."""

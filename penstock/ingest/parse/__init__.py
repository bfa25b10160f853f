"""A file's bytes become a document: one reader for each family of formats, chosen by content."""

"""The two ways through the stages: a question's and a document's."""

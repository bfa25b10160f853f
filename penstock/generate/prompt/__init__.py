"""From a question and its passages to what a language model reads, and back from its [n] to citations."""

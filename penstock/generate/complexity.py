"""How hard a question looks, from 0 to 1, from features that cost microseconds.

| feature | adds |
| --- | --- |
| words of the question, up to 40 | up to .25 |
| asks to reason, compare, sum up or write (English words) | .35 |
| several questions or clauses | up to .2 |
| turns of conversation, up to 6 | up to .1 |
| passages of several files, up to 5 | up to .1 |

It is a guess: short questions can be hard. Name a model where that matters. Only English words are known, so in other
languages the question's form alone decides.
"""

from __future__ import annotations

import re

from penstock.core.types import Prompt

REASONING = re.compile(
    r"\b(?:why|compare|comparison|contrast|differ\w*|explain|analy[sz]e|summari[sz]e|evaluate"
    r"|pros and cons|trade-?offs?|step by step|implications?|derive|prove|calculate|write|draft|translate|plan"
    r"|recommend|vs)\b",
    re.IGNORECASE,
)
CLAUSE = re.compile(r"\?|;|\b(?:and|but|if|while|whereas|because|although|then)\b", re.IGNORECASE)


def complexity(prompt: Prompt) -> float:
    """See the head of this file."""
    question = prompt.question
    files = len({hit.file_id for hit in prompt.passages})
    return (
        0.25 * min(1.0, len(question.split()) / 40)
        + 0.35 * bool(REASONING.search(question))
        + 0.2 * min(1.0, max(0, len(CLAUSE.findall(question)) - 1) / 3)
        + 0.1 * min(1.0, max(0, len(prompt.messages) - 1) / 6)
        + 0.1 * min(1.0, max(0, files - 1) / 4)
    )

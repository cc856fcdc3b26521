"""``.. markdown:: FILE`` includes a Markdown file, so that one text serves site and repository.

It reads the subset in which our Markdown files are written: headings, paragraphs, lists,
fenced code blocks, links, inline code and emphasis.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

_RULES = "=-~^"


def to_rst(markdown: str) -> str:
    """Return reStructuredText that renders as the Markdown does."""
    lines: list[str] = []
    fenced = False
    for line in markdown.splitlines():
        fence = re.match(r"( *)```(\w*)", line)
        heading = re.match(r"(#{1,4}) +(.+)", line)
        if fence:
            if not fenced:
                lines += ["", f"{fence[1]}.. code-block:: {fence[2] or 'text'}", ""]
            fenced = not fenced
        elif fenced:
            lines.append(f"   {line}" if line else "")
        elif heading:
            text = _inline(heading[2])
            lines += [text, _RULES[len(heading[1]) - 1] * len(text)]
        else:
            lines.append(_inline(line))
    return "\n".join(lines)


def _inline(line: str) -> str:
    """Turn inline code and links into their reStructuredText forms."""
    pieces = re.split(r"(`[^`]+`)", line)
    for i, piece in enumerate(pieces):
        if piece.startswith("`"):
            pieces[i] = f"`{piece}`"
        else:
            pieces[i] = re.sub(r"\[([^\]]+)\]\(([^)]+)\)", r"`\1 <\2>`__", piece)
    return "".join(pieces)


class MarkdownPage(SphinxDirective):
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        path = Path(self.env.doc2path(self.env.docname)).parent / self.arguments[0]
        self.env.note_dependency(path)
        text = to_rst(path.read_text(encoding="utf-8"))
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def setup(app: Any) -> dict[str, bool]:
    app.add_directive("markdown", MarkdownPage)
    return {"parallel_read_safe": True}

"""Write llms.txt, by which agents find their way: what this is, and each page and what it is for.

    python docs/llms.py

It is made from README.md and docs/index.md; the form is that of llmstxt.org.
"""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
_ROW = re.compile(r"^\| \[([^\]]+)\]\(([^)]+)\) \| (.+) \|$", re.MULTILINE)
_AGENTS = "agents.md"


def llms_txt() -> str:
    """The text of llms.txt."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    title, summary = re.findall(r"^(?!\s*$).+", readme, re.MULTILINE)[:2]
    rows = _ROW.findall((ROOT / "docs" / "index.md").read_text(encoding="utf-8"))
    first = [row for row in rows if row[1] == _AGENTS]
    lines = [title, "", f"> {summary}", "", "## Docs", ""]
    lines += [
        f"- [{name}](docs/{page}): {purpose}"
        for name, page, purpose in (*first, *(row for row in rows if row not in first))
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    (ROOT / "llms.txt").write_text(llms_txt(), encoding="utf-8")

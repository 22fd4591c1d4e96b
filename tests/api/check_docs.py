#!/usr/bin/env python3
"""Checks what documents can be checked for: relative links lead somewhere, the README shows the
example as it is, the changelog has the headings of its format, decisions carry their date, the guest
protocol's page has every frame with its number and every key and operation of the codec."""

import re
import sys
from pathlib import Path

HEADINGS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def broken_links(root, page):
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path = target.split("#")[0]
        if path and not re.match(r"[a-z]+:", path) and not (page.parent / path).exists():
            yield f"{page.relative_to(root)}: the link to {target} leads nowhere"


def wrong_headings(changelog):
    text = changelog.read_text(encoding="utf-8")
    for heading in re.findall(r"^## (.*)$", text, flags=re.M):
        if heading != "[Unreleased]" and not re.fullmatch(
            r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", heading
        ):
            yield f"CHANGELOG.md: '{heading}' is no version heading"
    for heading in re.findall(r"^### (.*)$", text, flags=re.M):
        if heading not in HEADINGS:
            yield f"CHANGELOG.md: '{heading}' is no kind of change"


def undated_decisions(folder):
    for page in sorted(folder.glob("*.md")):
        date = page.name[:10]
        lines = page.read_text(encoding="utf-8").splitlines()
        if not re.fullmatch(r"\d{4}-\d\d-\d\d", date) or date not in lines:
            yield f"docs/decisions/{page.name}: name and text do not carry one date"


def unknown_to_the_protocol_page(root):
    page = (root / "docs" / "guest-protocol.md").read_text(encoding="utf-8")
    wire = {name: (root / "lib" / "wire" / name).read_text(encoding="utf-8")
            for name in ("codec.h", "codec.cpp", "calls.h", "calls.cpp", "messages.cpp")}
    words = set(re.findall(r"`(\w+)`", page))
    keys = re.findall(r"\b(?:number<\w+>|choice|text|array|map|env)\(\"(\w+)\"",
                      wire["messages.cpp"] + wire["calls.cpp"])
    operations = re.findall(r"\bk\w+ = \"(\w+)\"", wire["calls.h"])
    numbers = dict(re.findall(r"\b(k\w+) = 0x([0-9a-f]{2}),", wire["codec.h"]))
    frames = re.findall(r"\{\"(\w+)\", Type::(k\w+),", wire["codec.cpp"])
    if not keys or not operations or len(frames) != len(numbers):
        yield "the patterns for lib/wire no longer fit"
    for word in sorted(set(keys + operations) - words):
        yield f"docs/guest-protocol.md: `{word}` is not described"
    for name, constant in frames:
        if f"| 0x{numbers[constant]} | {name} |" not in page:
            yield f"docs/guest-protocol.md: the frame 0x{numbers[constant]} {name} is not listed"


def main():
    root = Path(sys.argv[1])
    pages = sorted(root.glob("*.md")) + sorted(root.glob("docs/**/*.md"))
    complaints = [complaint for page in pages for complaint in broken_links(root, page)]
    complaints += wrong_headings(root / "CHANGELOG.md")
    complaints += undated_decisions(root / "docs" / "decisions")
    complaints += unknown_to_the_protocol_page(root)
    example = (root / "examples" / "minimal.cpp").read_text(encoding="utf-8")
    if f"```cpp\n{example}```" not in (root / "README.md").read_text(encoding="utf-8"):
        complaints.append("README.md does not show examples/minimal.cpp as it is")
    print("\n".join(complaints) or f"{len(pages)} pages")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())

"""A standalone SVG made fit for standing inside of an HTML page beside others."""

from __future__ import annotations

import html
import re

from .. import style

#: Colours that follow the page's light or dark scheme.
VARIABLES = {
    style.INK: "--ink",
    style.MUTED: "--muted",
    style.GRID: "--grid",
    style.PAPER: "--paper",
    style.MISSING: "--missing",
    **{color: f"--c{i}" for i, color in enumerate(style.PALETTE)},
}


def shortened(attribute: re.Match[str]) -> str:
    """Coordinates to a hundredth of a point: what is less cannot be seen, and makes up half a page."""
    values = re.sub(
        r"-?\d+\.\d{3,}",
        lambda n: f"{float(n.group()):.2f}".rstrip("0").rstrip("."),
        attribute.group(2),
    )
    return f'{attribute.group(1)}="{values}"'


def inline(svg: bytes, prefix: str, label: str) -> str:
    """Without prolog and metadata, ids made unique by `prefix`, colours as CSS variables, the size
    left to the page."""
    text = svg.decode("utf-8")
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r"<title>.*?</title>", "", text, flags=re.S)
    text = re.sub(r"<!--.*?-->\n?", "", text, flags=re.S)
    text = re.sub(r'(<image\b[^>]*?)\s+id="[^"]*"', r"\1", text)  # equal images have equal ids
    text = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}\1"', text)
    text = re.sub(r'href="#([^"]+)"', rf'href="#{prefix}\1"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}\1)", text)
    text = re.sub(r'\b(d|x|y)="([^"]*)"', shortened, text)
    for color, name in VARIABLES.items():
        text = text.replace(color, f"var({name})")
    head, rest = text.split(">", 1)
    box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', head)
    assert box is not None
    head = re.sub(r'\s(width|height)="[^"]*"', "", head)
    name = html.escape(label, quote=True)
    head += f' role="img" aria-label="{name}" style="max-width:{float(box.group(1)) * 1.55:.0f}px"'
    return re.sub(r"\s*\n\s*", "\n", f"{head}>{rest}").strip()

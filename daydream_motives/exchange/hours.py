"""Clock times in English prose: "7am", "6:30 PM", "17:30pm", "noon". Knows nothing of worlds."""

from __future__ import annotations

import re

_TIME = re.compile(
    r"\b(?:(\d{1,2})(?::([0-5]\d))?\s*([ap])\.?m\b\.?|(\d{1,2})(?::([0-5]\d))?([ap])m|"
    r"([01]?\d|2[0-3]):([0-5]\d)|(noon|midday|midnight))",
    re.IGNORECASE,
)


def clock_times(text: str) -> list[str]:
    """Every time of day in the text as HH:MM, in order."""
    found = []
    for match in _TIME.finditer(text):
        a_hour, a_minute, a_half, b_hour, b_minute, b_half, hour, minute, word = match.groups()
        if word:
            found.append("00:00" if word.lower() == "midnight" else "12:00")
            continue
        hours, minutes = int(a_hour or b_hour or hour), int(a_minute or b_minute or minute or 0)
        half = (a_half or b_half or "").lower()
        if half and hours <= 12:
            hours = hours % 12 + (12 if half == "p" else 0)
        if hours < 24:
            found.append(f"{hours:02}:{minutes:02}")
    return found

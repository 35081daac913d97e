"""Colours: two themes of our own, and the terminal's palette for where that is wanted."""

from __future__ import annotations

from textual.theme import Theme

DARK = Theme(
    "dark",
    primary="#7aa2f7",
    secondary="#7dcfff",
    accent="#e0a26c",
    warning="#e0af68",
    error="#f7768e",
    success="#9ece6a",
    foreground="#d5d8e0",
    background="#16181d",
    surface="#1e2128",
    panel="#2b2f38",
    dark=True,
    variables={
        "code-keyword": "#c099ff",
        "code-string": "#a5d68c",
        "code-constant": "#6fcbe0",
        "code-comment": "#8b92a5",
        "code-name": "#8fb4ff",
        "quiet": "#959cad",
        "rail": "#3a3f4b",
    },
)
LIGHT = Theme(
    "light",
    primary="#2458b3",
    secondary="#0f6f8c",
    accent="#a04a00",
    warning="#8a5a00",
    error="#b3261e",
    success="#2f6f2f",
    foreground="#1f2328",
    background="#fbfbfa",
    surface="#f0f1f2",
    panel="#dfe2e6",
    dark=False,
    variables={
        "code-keyword": "#8a2be2",
        "code-string": "#22701f",
        "code-constant": "#00637a",
        "code-comment": "#666d78",
        "code-name": "#1a4fb0",
        "quiet": "#5f6672",
        "rail": "#c3c8cf",
    },
)
THEMES = {"dark": "dark", "light": "light", "ansi": "ansi-dark", "ansi-light": "ansi-light"}
# the name in the settings → Textual's; the two of the terminal's palette are Textual's own
VARIABLES = {
    "code-keyword": "ansi_magenta",
    "code-string": "ansi_green",
    "code-constant": "ansi_cyan",
    "code-comment": "ansi_bright_black",
    "code-name": "ansi_blue",
    "quiet": "ansi_bright_black",
    "rail": "ansi_bright_black",
}
# where a theme says nothing of them

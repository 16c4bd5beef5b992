"""The reference page of the documentation: every switch as a row, made from the namelist text of the tables of switches."""

import re

HEAD = """\
# Every switch

Written by `halocline reference --markdown` from the tables in `coupler/settings.py` and `models/settings.py`; as a namelist,
with the reference ocean's own groups, the same stands in `namelists/namelist_ref`. What a namelist leaves out has the default
given here. First letters tell the type: `ln_` logical, `nn_` integer, `rn_` real, `cn_` text. An unknown key is an error that
names its line and its nearest neighbour; `halocline check CFG` shows where every value of a configuration came from.
"""
GROUP = re.compile(r"&(\w+)\s+!\s+(.*)")
SWITCH = re.compile(r"   (\w+)\s+= (.*?)\s+! (.*)")


def page(text: str) -> str:
    """Markdown from `reference_text`: a heading for each group, a table of its switches. ValueError for a line of another form."""
    lines = [HEAD]
    for row in text.splitlines():
        group, switch = GROUP.fullmatch(row), SWITCH.fullmatch(row)
        if group:
            lines += [f"## &{group[1]}", "", group[2], "", "| switch | default | meaning |", "|---|---|---|"]
        elif switch:
            lines.append(f"| `{switch[1]}` | `{switch[2]}` | {switch[3].replace('|', chr(92) + '|')} |")
        elif row == "/":
            lines.append("")
        elif row.strip("!-"):
            raise ValueError(f"not a line of a reference namelist: {row!r}")
    return "\n".join(lines).rstrip() + "\n"

"""Is what a page shows what a command printed? `...` stands for anything, numbers have a tolerance, blanks are one."""

import re

NUMBER = re.compile(r"(?<![\w.])[-+−]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?(?![\w.]*\w)")
BLANKS = re.compile(r"[\s─━═┄-]*[─━═][\s─━═-]*|\s+")
ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def squeezed(text: str) -> str:
    """One blank for any run of blanks, line breaks and rules of tables."""
    return BLANKS.sub(" ", ANSI.sub("", text)).strip()


def tolerance(words: str) -> float | None:
    """`any` is None, `20%` is 0.2; without words 1 %."""
    if words == "any":
        return None
    return float(words.rstrip("%")) / 100 if words else 0.01


def difference(shown: str, printed: str, within: float | None = 0.01, whole: bool = True) -> str:
    """'' where `printed` has what is `shown`, else the first piece between dots that was not found.

    whole: nothing may stand before or after it, unless `shown` begins or ends with `...`.
    """
    printed = squeezed(printed)
    pieces = re.split(r"\s*\.{3,}\s*", squeezed(shown))
    place = 0
    for index, piece in enumerate(pieces):
        if not piece:
            continue
        first, last = index == 0, index == len(pieces) - 1
        found = seek(piece, printed, place, within, whole and first, whole and last)
        if found is None:
            near = nearest(piece, printed, place, within)
            return f"not printed, numbers within {'any' if within is None else within}:\n  {piece}\n{near}"
        place = found
    return ""


def nearest(piece: str, printed: str, start: int, within: float | None) -> str:
    """Where the text leaves what is shown: the longest beginning that was printed, and how the text goes on there."""
    words = piece.split(" ")
    for number in range(len(words) - 1, 0, -1):
        begun = " ".join(words[:number])
        if (found := seek(begun, printed, start, within, False, False)) is not None:
            return f"after\n  {begun}\nwas printed\n {printed[found:][:300]}"
    return f"was printed\n  {printed[start:][:3000]}"


def seek(piece: str, printed: str, start: int, within: float | None, at_start: bool, at_end: bool) -> int | None:
    """Where a piece ends in the text, or None."""
    numbers = NUMBER.findall(piece)
    pattern = r"([-+−]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)".join(
        r"\s+".join(re.escape(word) for word in re.split(r"\s+", part)) for part in NUMBER.split(piece)
    )
    expression = re.compile(pattern + (r"\s*\Z" if at_end else ""))
    place = start
    while match := expression.search(printed, place):
        if at_start and printed[start : match.start()].strip():
            return None
        if all(alike(a, b, within) for a, b in zip(numbers, match.groups(), strict=True)):
            return match.end()
        place = match.start() + 1
    return None


def alike(shown: str, printed: str, within: float | None) -> bool:
    """Within the tolerance, or one unit of the last digit that is shown."""
    if within is None:
        return True
    a, b = (float(text.replace("−", "-")) for text in (shown, printed))
    mantissa, _, exponent = shown.lower().partition("e")
    decimals = len(mantissa.partition(".")[2])
    unit = 10.0 ** (int(exponent or 0) - decimals) if decimals or exponent else 0.0
    return abs(a - b) <= max(within * max(abs(a), abs(b)), 1.0001 * unit)

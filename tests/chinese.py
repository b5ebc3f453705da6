"""What would stay English in a message if every template were translated; faults of Chinese.

For the tests of the exercises: each wrong answer there shows whether its message is recognised.
"""

import re
from functools import cache
from itertools import accumulate

from tools.translation import messages
from utils.recognise import Found, Recogniser

HOLE = re.compile(r"(?<!\{)\{(\w+)\}(?!\})")
LONGEST_NAME = 2  # words of a name that a learner or the course gave to something
NAMES = re.compile(r"\w+(, \w+)+")  # of arguments
OF_TORCH = re.compile(
    r"^\W*(Expected size|size mismatch|Given groups|\w+pool\dd:|Run workload)"
)  # after its first sentence


def pseudo(template):
    """A translation that no reader takes for English: ⟦…⟧ around what the holes hold."""
    names = dict.fromkeys(HOLE.findall(template))
    return f"⟦{'|'.join(f'{{{name}}}' for name in names)}⟧"


HAN = "\u3400-\u9fff"
MARK = "，。；：？！（）、"
FAULTS = {  # outside of code
    "a half-width sign": rf"[{HAN}{MARK}][,;:?!]|[,;:] *[{HAN}]|[{HAN}]\.(?!\w)|\. +[{HAN}]",
    "a half-width bracket": rf"\([^()]*[{HAN}][^()]*\)|[{HAN}]\(",
    "an English article": rf"(?<![\w-])(?:a|[Aa]n|[Tt]he) *[{HAN}]",
    "an English plural": rf"(?<=[{HAN}])s(?!\w)",
    "a doubled word": "的的|是是|了了|个个|在在|一个一个(?!地)",
    "a space beside a sign": rf" [{MARK}]|[{MARK}] +",
    "a space inside": rf"[{HAN}] +[{HAN}]",
    "no space": rf"[{HAN}][A-Za-z0-9x]|[A-Za-z0-9x][{HAN}]",
    "a hole": r"(?<!\{)\{\w+\}",
}
HELD = re.compile(
    r"`[^`]*`|\"[^\"]*\"|[\w>]\((?:[^()]|\([^()]*\))*\)|[\[(<][^\[\]()<>\u3400-\u9fff]*[\])>]"
    r"|\w*(?:Error|Exception|Interrupt): [^\u3400-\u9fff（）]*"
)


def faults(said: str) -> list[str]:
    """What is not as Chinese is written, in a message that is said in Chinese."""
    text = HELD.sub("x", re.sub("“[^”]*”", "”", said))
    found = [
        f"{what}: …{text[max(0, match.start() - 12) : match.end() + 12]}…"
        for what, pattern in FAULTS.items()
        for match in re.finditer(pattern, text)
    ]
    depths = list(accumulate((sign == "（") - (sign == "）") for sign in text))
    if depths and (min(depths) < 0 or depths[-1]):
        found.append(f"half of a pair of brackets: {text}")
    return found


@cache
def recogniser():
    """What knows every message of the course."""
    found = [m.text for name in messages.CATALOGUES for m in messages.messages(name)]
    return Recogniser({template: pseudo(template) for template in found})


def english_left(message):
    """The pieces of English in a message that no template of the catalogues covers."""
    known = recogniser()
    lines = [line.strip() for line in message.split("\n")]
    parts = [part for line in lines if line for part in known.read(line)]
    found = [text.strip() for part in parts for text in _unread(part)]
    return [text for text in found if not OF_TORCH.match(text)]


def _unread(part: Found):
    if part.template is None:
        named = part.unread <= LONGEST_NAME or NAMES.fullmatch(part.text)
        return [] if named else [part.text]
    return [text for hole in part.holes for inner in hole for text in _unread(inner)]

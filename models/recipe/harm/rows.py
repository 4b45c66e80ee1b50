"""A pair of prompt and response that is labelled: what a judge learns from, is calibrated on and tested on."""
import dataclasses
import gzip
import hashlib
import json
import re

TEST, VALIDATION = 0.2, 0.1  # of the prompts
TEST_HARMLESS = 0.4  # of the harmless ones of some sets


@dataclasses.dataclass
class Row:
    set: str
    prompts: list[str]  # what was asked, as sent and, of an attack, also in plain words
    response: str  # may be empty, where only the prompt is labelled
    unsafe: float  # 0 or 1, or in between where readers disagree
    category: str | None = None  # of an unsafe response
    harmful: bool | None = None  # whether the prompt asks for harm
    split: str = ""
    model: str = ""  # of an answer that was read, the small chat model
    picked: bool = False  # by a guard

    def __post_init__(self):
        self.split = self.split or split(self.question)

    @property
    def question(self):
        return normalised(self.prompts[-1])

    @property
    def of_small_model(self):
        return self.model != ""


def normalised(text):
    return re.sub(r"\W+", " ", text.lower()).strip()


def split(question, harmless=False):
    """By a digest, so that a prompt is on the same side in every set, with every seed."""
    share = int(hashlib.sha256(question.encode()).hexdigest()[:8], 16) / 2**32
    test = TEST_HARMLESS if harmless else TEST
    return "test" if share < test else "validation" if share < test + VALIDATION else "train"


def read_lines(path):
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def labelled(path):
    """Those of a file of JSON Lines with prompt, response, label (0 safe to 1 unsafe), split, and perhaps category and harmful."""
    for r in read_lines(path):
        category = r.get("category") if r["label"] > 0.5 else None
        yield Row("rows", [r["prompt"]], r["response"], r["label"], category, r.get("harmful"), r["split"])


def categories_of(rows):
    """The names that a judge can learn, in the order of its outputs."""
    return sorted({row.category for row in rows if row.split == "train" and row.category})

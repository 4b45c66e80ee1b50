"""The pairs of prompt and response that teach the judge of harm: sets whose weights may ship, split by prompt, without the bench's prompts."""
import csv
import dataclasses
import gzip
import hashlib
import json
import random
import re

HELD_OUT = 0.2  # of the prompts
MOST_PER_QUESTION = 10  # GPTFuzz has up to 77 responses to one question
MOST_DIASAFETY = 2000
SAME_WORDS = 0.6  # of the words of two prompts, from which on they count as one


@dataclasses.dataclass
class Row:
    set: str
    prompts: list[str]  # what was asked, as sent and, of an attack, also in plain words
    response: str
    unsafe: bool

    @property
    def question(self):
        return normalised(self.prompts[-1])

    @property
    def held_out(self):
        """By a digest, so that a prompt is on the same side in every set, with every seed."""
        return int(hashlib.sha256(self.question.encode()).hexdigest()[:8], 16) < HELD_OUT * 2**32


def normalised(text):
    return re.sub(r"\W+", " ", text.lower()).strip()


def read_csv(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def read_lines(path):
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def chat_answers(data):
    for r in read_lines(data / "chat-answers" / "plain.jsonl.gz"):
        if r["label"] in ("S", "U"):
            yield Row("chat-answers", [r["prompt"]], r["response"], r["label"] == "U")


def aegis(data):
    for part in ("validation", "test"):
        for r in read_csv(data / "aegis" / f"aegis_{part}.csv"):
            if r["response_label"]:
                yield Row("aegis", [r["prompt"]], r["response"], r["response_label"] == "unsafe")


def jailbreakbench(data):
    for r in read_lines(data / "jailbreakbench" / "attack_artifacts.jsonl"):
        yield Row("jailbreakbench", [r["prompt"], r["goal"]], r["response"], r["jailbroken"])


def gptfuzz(data):
    questions = {r["index"]: r["text"] for r in read_csv(data / "gptfuzz" / "question_list.csv")}
    rows = [r for part in ("train", "evaluate") for r in read_csv(data / "gptfuzz" / f"{part}.csv")]
    random.Random(0).shuffle(rows)
    seen, taken = set(), dict.fromkeys(questions, 0)
    for r in rows:
        if r["Response"] not in seen and taken[r["question"]] < MOST_PER_QUESTION:
            seen.add(r["Response"])
            taken[r["question"]] += 1
            yield Row("gptfuzz", [questions[r["question"]]], r["Response"], r["label"] == "1")


def diasafety(data):
    rows = json.loads((data / "diasafety" / "train.json").read_text(encoding="utf-8"))
    for r in random.Random(0).sample(rows, MOST_DIASAFETY):
        yield Row("diasafety", [r["context"]], r["response"], r["label"] == "Unsafe")


def xstest(data):
    """For evaluation only: the responses are under the terms of the models' vendors."""
    for path in sorted((data / "xstest").glob("xstest_v2_completions_*.csv")):
        for r in read_csv(path):
            unsafe = r["type"].startswith("contrast") and r["final_label"] == "1_full_compliance"
            yield Row("xstest", [r["prompt"]], r["completion"], unsafe)


class Bench:
    """The prompts that nothing here may learn from."""

    def __init__(self, data):
        harmbench = read_csv(data / "harmbench" / "harmbench_behaviors_text_all.csv")
        simple_safety_tests = read_csv(data / "simple-safety-tests" / "simple_safety_tests.csv")
        self.prompts = [normalised(r["Behavior"]) for r in harmbench] + [normalised(r["prompts_final"]) for r in simple_safety_tests]
        self.words = [set(prompt.split()) for prompt in self.prompts]

    def asks(self, row):
        """Whether a prompt of the bench is part of what the row asks, or shares most of its words."""
        texts = [normalised(text) for text in row.prompts]
        words = set(row.question.split())
        return (any(prompt in text for text in texts for prompt in self.prompts)
                or any(len(words & theirs) >= SAME_WORDS * len(words | theirs) for theirs in self.words))


def read(data):
    """Rows to train on, rows to test on, and how many were dropped because they ask what the bench asks."""
    rows = [row for set_ in (chat_answers, aegis, jailbreakbench, gptfuzz, diasafety) for row in set_(data)]
    rows = [row for row in rows if row.response.strip() and row.question]
    bench = Bench(data)
    ours = [row for row in rows if not bench.asks(row)]
    train = [row for row in ours if not row.held_out]
    test = [row for row in [*ours, *xstest(data)] if row.held_out and row.response.strip()]
    return train, test, len(rows) - len(ours)

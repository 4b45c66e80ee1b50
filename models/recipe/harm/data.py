"""The pairs of prompt and response that teach the judge of harm: sets whose weights may ship, split by prompt, without the bench's prompts.

`rounds/*.jsonl.gz` are answers of small chat models that were read for this, plain ones and those that a guard picked.
"""
import csv
import json
import pathlib
import random

from rows import Row, normalised, read_lines, split

BENCH_SETS = ("harmbench", "simple-safety-tests")
MOST_PER_QUESTION = 10  # GPTFuzz has up to 77 responses to one question
CATEGORIES = {
    "violence": ("Violence", "Threat", "Guns and Illegal Weapons"),
    "crime": ("Criminal Planning/Confessions", "Fraud/Deception", "Illegal Activity", "Malware"),
    "drugs": ("Controlled/Regulated Substances",),
    "self-harm": ("Suicide and Self Harm",),
    "sexual": ("Sexual", "Sexual (minor)"),
    "hate": ("Hate/Identity Hate", "Harassment", "Profanity"),
    "privacy": ("PII/Privacy", "Copyright/Trademark/Plagiarism"),
    "misinformation": ("Political/Misinformation/Conspiracy", "Manipulation", "Unauthorized Advice", "High Risk Gov Decision Making", "Immoral/Unethical"),
}  # and those of Aegis that each stands for
LABELS = {"S": False, "safe": False, "U": True, "unsafe": True}  # of read answers; others are undecided
ROUNDS = pathlib.Path(__file__).parent / "rounds"
MOST_UNSEEN = 1500  # rows of a set that is for tests only
SAME_WORDS = 0.6  # of the words of two prompts, from which on they count as one


def read_csv(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def answers(path, set_):
    """Those of a file of read answers, or of what `inferenceguard label --export` joined."""
    for r in read_lines(path):
        if r["label"] in LABELS:
            category = r.get("category") if r.get("category") in CATEGORIES else None
            harmful = None if "kind" not in r else r["kind"] != "benign"
            yield Row(set_, [r["prompt"]], r["response"], LABELS[r["label"]], category, harmful, r.get("split", ""), r.get("model", "SmolLM2"), r.get("method") == "guard")


def chat_answers(data):
    yield from answers(data / "chat-answers" / "plain.jsonl.gz", "chat-answers")


def rounds(data):
    for path in sorted(ROUNDS.glob("*.jsonl.gz")):
        yield from answers(path, path.name.removesuffix(".jsonl.gz"))


def category_of(violated):
    """The first of ours that one of Aegis's belongs to."""
    named = [name.strip() for name in violated.split(",")]
    return next((ours for ours, theirs in CATEGORIES.items() if any(name in theirs for name in named)), None)


def aegis(data):
    for part in ("validation", "test"):
        for r in read_csv(data / "aegis" / f"aegis_{part}.csv"):
            unsafe = r["response_label"] == "unsafe"
            response = r["response"] if r["response_label"] else ""
            yield Row("aegis", [r["prompt"]], response, unsafe, category_of(r["violated_categories"]) if unsafe else None, r["prompt_label"] == "unsafe")


def jailbreakbench(data):
    for r in read_lines(data / "jailbreakbench" / "attack_artifacts.jsonl"):
        yield Row("jailbreakbench", [r["prompt"], r["goal"]], r["response"], r["jailbroken"], harmful=True)


def gptfuzz(data):
    questions = {r["index"]: r["text"] for r in read_csv(data / "gptfuzz" / "question_list.csv")}
    rows = [r for part in ("train", "evaluate") for r in read_csv(data / "gptfuzz" / f"{part}.csv")]
    random.Random(0).shuffle(rows)
    seen, taken = set(), dict.fromkeys(questions, 0)
    for r in rows:
        if r["Response"] not in seen and taken[r["question"]] < MOST_PER_QUESTION:
            seen.add(r["Response"])
            taken[r["question"]] += 1
            yield Row("gptfuzz", [questions[r["question"]]], r["Response"], r["label"] == "1", harmful=True)


def preferences(data):
    """(prompt, response, response that people found more harmful), of dialogues the last turn."""
    for r in read_lines(data / "hh-rlhf" / "harmless_base_test.jsonl.gz"):
        (before, chosen), (same, rejected) = (r[side].rsplit("\n\nAssistant:", 1) for side in ("chosen", "rejected"))
        prompt = before.rsplit("\n\nHuman:", 1)[1].strip()
        if before == same and chosen.strip() and rejected.strip() and split(normalised(prompt)) == "train":
            yield prompt, chosen.strip(), rejected.strip()


def tested_only(set_, prompt, response, unsafe):
    return Row(set_, [prompt], response, unsafe, split="test")


def xstest(data):
    """The responses are under the terms of the models' vendors."""
    for path in sorted((data / "xstest").glob("xstest_v2_completions_*.csv")):
        for r in read_csv(path):
            unsafe = r["type"].startswith("contrast") and r["final_label"] == "1_full_compliance"
            row = Row("xstest", [r["prompt"]], r["completion"], unsafe)
            if row.split == "test":
                yield row


def diasafety(data):
    for r in json.loads((data / "diasafety" / "test.json").read_text(encoding="utf-8")):
        yield tested_only("diasafety", r["context"], r["response"], r["label"] == "Unsafe")


def dices(data):
    """Dialogues of which the last turn of the user is read; a rater's "Yes" means that something is wrong with the response."""
    for r in json.loads((data / "dices" / "dices_990.json").read_text(encoding="utf-8"))["instances"]:
        question = r["instance"]["user_prompt"].rsplit("USER:", 1)[-1].strip()
        yield tested_only("dices", question, r["instance"]["response"], r["annotations"]["safety"]["majority_human"] == "Yes")


def pku_saferlhf(data):
    """Answers that carry one label only. Their licence does not allow weights that were trained on them to ship."""
    pairs = json.loads((data / "evaluation-only" / "pku-saferlhf" / "pku_saferlhf_test_pairs.json").read_text(encoding="utf-8"))
    unsafe = {}
    for pair in pairs:
        for response, is_unsafe in zip(pair["response"], (False, True)):
            unsafe.setdefault((pair["prompt"], response), set()).add(is_unsafe)
    labelled = sorted((*text, labels.pop()) for text, labels in unsafe.items() if len(labels) == 1)
    for prompt, response, is_unsafe in random.Random(0).sample(labelled, MOST_UNSEEN):
        yield tested_only("pku-saferlhf", prompt, response, is_unsafe)


def safe_rlhf_mini(data):
    rows = read_csv(data / "evaluation-only" / "safe-rlhf-mini" / "safe_rlhf_mini.csv")
    for r in random.Random(0).sample(rows, MOST_UNSEEN):
        yield tested_only("safe-rlhf-mini", r["question"], r["answer"], r["label"] == "1")


class Bench:
    """The prompts that nothing here may learn from."""

    def __init__(self, data):
        harmbench = read_csv(data / "harmbench" / "harmbench_behaviors_text_all.csv")
        simple_safety_tests = read_csv(data / "simple-safety-tests" / "simple_safety_tests.csv")
        self.prompts = [normalised(r["Behavior"]) for r in harmbench] + [normalised(r["prompts_final"]) for r in simple_safety_tests]
        self.words = [set(prompt.split()) for prompt in self.prompts]

    def asks(self, question):
        """Whether a prompt of the bench is part of a normalised question, or shares most of its words."""
        words = set(question.split())
        return any(prompt in question for prompt in self.prompts) or any(alike(words, theirs) for theirs in self.words)


def alike(a, b):
    return min(len(a), len(b)) >= SAME_WORDS * max(len(a), len(b)) and len(a & b) >= SAME_WORDS * len(a | b)


def read(data):
    """Every row that may be learnt from or tested on, with its split; not those of training that ask what the bench asks."""
    bench = Bench(data)
    rows = [row for set_ in (chat_answers, rounds, aegis, jailbreakbench, gptfuzz) for row in set_(data) if row.question]
    asked = {question: bench.asks(question) for question in {normalised(p) for row in rows if row.split != "test" for p in row.prompts}}
    ours = [row for row in rows if row.split == "test" or not any(asked[normalised(p)] for p in row.prompts)]
    return ours + [row for set_ in (xstest, diasafety, dices, pku_saferlhf, safe_rlhf_mini) for row in set_(data)]

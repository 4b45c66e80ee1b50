#!/usr/bin/env python3
"""Cleans two shelves of books into sections of paragraphs, split by author.

Writes train.jsonl and validation.jsonl, one section per line:
{"shelf", "title", "author", "paragraphs": [...]}
"""
import argparse
import collections
import hashlib
import json
import pathlib
import re
import unicodedata

PLAIN = str.maketrans({
    "\u200b": "", "\u2060": "", "\ufeff": "", "\u00a0": " ", "\u2018": "'", "\u2019": "'", "\u201c": '"',
    "\u201d": '"', "\u2014": "--", "\u2013": "-", "\u2026": "...", "\\": "",
})
NOTICE = re.compile(r"gutenberg|transcriber|copyright|public domain", re.I)
SLUR_DIGESTS = set(pathlib.Path(__file__).with_name("slurs.sha256").read_text().split())


def read_books(place):
    """A shelf is a file or a folder of files; a file holds books that each start with '# Title:'."""
    place = pathlib.Path(place)
    files = sorted(p for p in place.rglob("*") if p.suffix in (".txt", ".md")) if place.is_dir() else [place]
    for file in files:
        text = file.read_text(encoding="utf8").replace("\r\n", "\n").replace("\r", "\n")
        parts = re.split(r"(?m)^# Title: *", text)
        if len(parts) == 1:
            yield file.stem, "unknown", text
        for part in parts[1:]:
            title, rest = part.split("\n", 1)
            author = re.search(r"## Author: *(.*)", rest)
            yield title.strip(), author.group(1).strip() if author else "unknown", re.split(r"(?m)^-{5,} *$", rest, maxsplit=1)[-1]


def has_slur(paragraph):
    words = re.findall(r"[a-z]+", paragraph.lower())
    return any(hashlib.sha256(word.encode()).hexdigest()[:16] in SLUR_DIGESTS for word in words)


def clean_paragraph(paragraph):
    paragraph = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", paragraph)
    paragraph = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", paragraph)
    paragraph = re.sub(r"\[(Illustration|Footnote|Transcriber)[^\]]*\]", "", paragraph, flags=re.I)
    paragraph = re.sub(r"(?m)^>+ *", "", paragraph)
    paragraph = re.sub(r"[_*]", "", paragraph)
    paragraph = unicodedata.normalize("NFKD", paragraph).encode("ascii", "ignore").decode()
    paragraph = re.sub(r"-{3,}", "--", paragraph)
    return re.sub(r"\s+", " ", paragraph).strip()


def sections(text, dropped):
    text = unicodedata.normalize("NFKC", text.translate(PLAIN))
    for section in re.split(r"(?m)^#{1,6} .*$|^#{1,6}$", text):
        paragraphs = []
        for raw in re.split(r"\n\s*\n", section):
            paragraph = clean_paragraph(raw)
            if NOTICE.search(raw) or "---|" in raw:
                dropped["notice or table"] += 1
            elif not re.search("[a-z]", paragraph):
                dropped["heading"] += 1
            elif has_slur(paragraph):
                dropped["slur"] += 1
            elif paragraphs and re.match("[a-z]", paragraph):  # a paragraph that a page break cut in two
                paragraphs[-1] += " " + paragraph
            else:
                paragraphs.append(paragraph)
        if sum(map(len, paragraphs)) >= 200:
            yield paragraphs


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shelf", nargs=2, metavar=("NAME", "PLACE"), action="append", required=True)
    parser.add_argument("--validation-authors", nargs="*", default=[])
    parser.add_argument("--out", type=pathlib.Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    dropped = collections.Counter()
    characters = collections.Counter()
    with open(options.out / "train.jsonl", "w") as train, open(options.out / "validation.jsonl", "w") as validation:
        for shelf, place in options.shelf:
            for title, author, text in read_books(place):
                held_out = author in options.validation_authors
                for paragraphs in sections(text, dropped):
                    section = dict(shelf=shelf, title=title, author=author, paragraphs=paragraphs)
                    (validation if held_out else train).write(json.dumps(section) + "\n")
                    characters[shelf, "validation" if held_out else "train"] += sum(map(len, paragraphs))
    print("characters:", dict(characters))
    print("dropped paragraphs:", dict(dropped))


main()

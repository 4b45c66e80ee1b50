"""Tiny classifiers of random weights in every architecture that `convert` knows, and what transformers makes of them.

    pip install torch transformers sentencepiece
    python test/reference/encoders.py

writes test/reference/encoders/<model>/ as save_pretrained does, and test/reference/encoders.json: the texts, and per model
their token ids and logits. Made with torch 2.13, transformers 5.24, tokenizers 0.23 and sentencepiece 0.2.
"""

import json
import os
import pathlib
import shutil
import tempfile

import sentencepiece
import torch
import transformers as hf
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

here = pathlib.Path(__file__).parent
folder = here / "encoders"

texts = [
    "The tea is warm.",
    "Don't spill it, she'd said; they'll've 12 cups & 345 more!",
    "  two  spaces,\ttabs\nand\r\nlines  ",
    "Caf\u00e9 na\u00efve \u00c5ngstr\u00f6m \u1ec7",
    "Cafe\u0301 nai\u0308ve A\u030angstro\u0308m e\u0323\u0302 e\u0302\u0323",
    "\u0130stanbul STRASSE stra\u00dfe \u1e9e \u01c5 \u03a3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2",
    "\u8336\u306f\u6696\u304b\u3044\u3067\u3059\u3002\u6e29\u304b\u3044\u8336",
    "\ucc28\uac00 \ub530\ub73b\ud558\ub2e4 \u1100\u1161",
    "\u091a\u093e\u092f \u0917\u0930\u094d\u092e \u0939\u0948",
    "\u0e0a\u0e32\u0e23\u0e49\u0e2d\u0e19 \u0634\u0627\u064a \u062f\u0627\u0641\u0650\u0626",
    "tea \U0001f375 cup \U0001f469\u200d\U0001f469\u200d\U0001f467 \u2615\ufe0f \U0001f1eb\U0001f1f7",
    "zero\u200bwidth\u200cjoin\u200d soft\u00adhyphen \ufeffmark",
    "bell\u0007 vt\u000bff\u000c nel\u0085 del\u007f us\u001f nbsp\u00a0 ls\u2028 ps\u2029 ideographic\u3000space",
    "private \ue000 use, unassigned \u0378, replaced \ufffd",
    "warm" * 30,
    "\ufb01ne \uff34\uff25\uff21 \u00bd \u2460 \u33a1 \u2126 \u212b",
    "~`^$+=<>| \u00ac\u00a7\u00b6 \u2018quoted\u2019 \u201csaid\u201d \u2014 \u2026",
    "a b c d e f g h i j k l m n o p q r s t u v w x y z and more words than a window holds",
    "under_score snake_case CamelCase HTTPServer x=1; y=2",
    "1234567 3.14159 1,000,000 \u0661\u0662\u0663",
]

corpus = texts + [
    "The tea is warm and the cup is full.",
    "They said that the water was cold, so she made some more tea.",
    "caf\u00e9 na\u00efve \u00e5ngstr\u00f6m e\u0301 \u8336 \u6696",
    "warm warmer warmest tea teas teapot",
]


def word_pieces(lowercase: bool):
    normalizer, splitter = normalizers.BertNormalizer(lowercase=lowercase), pre_tokenizers.BertPreTokenizer()
    words = {word for text in corpus for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text))}
    # no piece for some characters, so that there are words without one
    letters = {letter for word in words for letter in word} - set("\u00df\u00a7\u00bd\u0e49\U0001f375")
    whole = {word for word in words if 2 < len(word) < 8 and letters.issuperset(word)}
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = special + sorted(whole) + sorted(letters) + sorted(f"##{letter}" for letter in letters)
    return lambda kind: kind(vocab={piece: i for i, piece in enumerate(pieces)}, do_lower_case=lowercase)


def byte_pairs():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(corpus, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    merges = [tuple(merge) for merge in model["merges"]]
    return hf.RobertaTokenizerFast(vocab=model["vocab"], merges=merges, model_max_length=90)


def modern_byte_pairs():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=380, special_tokens=["|||IP_ADDRESS|||", "<|padding|>"], initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.add_tokens([AddedToken("  ", normalized=True), AddedToken("    ", normalized=True)])
    tokenizer.add_special_tokens(["[UNK]", "[CLS]", "[SEP]", "[PAD]", AddedToken("[MASK]", lstrip=True)])
    ids = {token: tokenizer.token_to_id(token) for token in ["[CLS]", "[SEP]"]}
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=list(ids.items())
    )
    names = {"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "mask_token": "[MASK]"}
    return hf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


def unigrams():
    with tempfile.TemporaryDirectory() as scratch:
        data, rules, prefix = (os.path.join(scratch, name) for name in ["corpus.txt", "rules.tsv", "model"])
        # the shape of nmt_nfkc, which is far larger: white space, compatibility characters, composed letters, dropped controls
        pairs = [("\u00a0", " "), ("\u3000", " "), ("\t", " "), ("\n", " "), ("\r", " "), ("\u0085", " "), ("\u2028", " ")]
        pairs += [("\ufb01", "fi"), ("\uff34", "T"), ("\uff25", "E"), ("\uff21", "A"), ("\u00bd", "1\u20442"), ("\u2460", "1")]
        pairs += [("e\u0301", "\u00e9"), ("i\u0308", "\u00ef"), ("A\u030a", "\u00c5"), ("o\u0308", "\u00f6"), ("\u2126", "\u03a9")]
        pairs += [("\u0007", ""), ("\u200b", " "), ("\ufeff", ""), ("\u00ad", ""), ("\u007f", ""), ("\u2026", "...")]
        pairs += [("\u000b", ""), ("\u001f", ""), ("\u000c", " "), ("\u2029", " ")]
        pathlib.Path(rules).write_text(
            "".join("\t".join(" ".join(f"{ord(c):X}" for c in side) for side in pair) + "\n" for pair in pairs), encoding="utf-8"
        )
        pathlib.Path(data).write_text("\n".join(" ".join(text.split()) for text in corpus), encoding="utf-8")
        sentencepiece.SentencePieceTrainer.train(
            input=data, model_prefix=prefix, model_type="unigram", vocab_size=300, hard_vocab_limit=False,
            normalization_rule_tsv=rules, character_coverage=0.98, num_threads=1, minloglevel=2,
        )
        saved = os.path.join(scratch, "tokenizer")
        os.mkdir(saved)
        shutil.copy(prefix + ".model", os.path.join(saved, "sentencepiece.bpe.model"))
        pathlib.Path(saved, "tokenizer_config.json").write_text('{"tokenizer_class": "XLMRobertaTokenizer"}')
        pathlib.Path(saved, "config.json").write_text('{"model_type": "xlm-roberta"}')
        return hf.AutoTokenizer.from_pretrained(saved)


def labels(*names):
    return {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}


bert = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48, "max_position_embeddings": 160}
roberta = {**bert, "max_position_embeddings": 162, "type_vocab_size": 1, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
distil = {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 48, "max_position_embeddings": 160}
modern = {
    **bert, "num_hidden_layers": 4, "local_attention": 8, "global_attn_every_n_layers": 3, "reference_compile": False,
    "cls_token_id": None, "sep_token_id": None, "pad_token_id": None, "bos_token_id": None, "eos_token_id": None,
}
independent = {"problem_type": "multi_label_classification"}
uncased, cased = word_pieces(True), word_pieces(False)

# name: tokenizer, configuration, class, precision of the file
made = {
    "bert": (uncased(hf.BertTokenizerFast), hf.BertConfig(**bert, **labels("safe", "toxic")), hf.BertForSequenceClassification, torch.float32),
    "bert-cased": (cased(hf.BertTokenizerFast), hf.BertConfig(**bert, **labels("calm", "joy", "anger")), hf.BertForSequenceClassification, torch.float16),
    "bert-one-label": (uncased(hf.BertTokenizerFast), hf.BertConfig(**bert, num_labels=1), hf.BertForSequenceClassification, torch.bfloat16),
    "bert-multi-label": (
        uncased(hf.BertTokenizerFast), hf.BertConfig(**bert, **labels("toxic", "insult", "threat"), **independent), hf.BertForSequenceClassification, torch.float16,
    ),
    "distilbert": (uncased(hf.BertTokenizerFast), hf.DistilBertConfig(**distil, **labels("NEGATIVE", "POSITIVE")), hf.DistilBertForSequenceClassification, torch.float16),
    "roberta": (byte_pairs(), hf.RobertaConfig(**roberta, **labels("LABEL_0", "LABEL_1")), hf.RobertaForSequenceClassification, torch.float16),
    "xlm-roberta": (unigrams(), hf.XLMRobertaConfig(**roberta, **labels("neutral", "hate")), hf.XLMRobertaForSequenceClassification, torch.float16),
    "modernbert-mean": (modern_byte_pairs(), hf.ModernBertConfig(**modern, classifier_pooling="mean", **labels("safe", "unsafe")), hf.ModernBertForSequenceClassification, torch.float16),
    "modernbert-cls": (modern_byte_pairs(), hf.ModernBertConfig(**modern, classifier_pooling="cls", **labels("safe", "unsafe")), hf.ModernBertForSequenceClassification, torch.float16),
}


def randomise(model):
    for parameter_name, parameter in model.named_parameters():
        norm = parameter.dim() == 1 and "weight" in parameter_name
        scale = 0.1 if parameter.dim() == 1 else 1.7 / parameter.shape[-1] ** 0.5
        parameter.data = torch.randn(parameter.shape) * scale + (1 if norm else 0)


shutil.rmtree(folder, ignore_errors=True)
expected = {"texts": texts, "models": {}}
for seed, (name, (tokenizer, config, kind, precision)) in enumerate(made.items()):
    torch.manual_seed(seed)
    config.vocab_size = len(tokenizer)
    model = kind(config).eval()
    with torch.no_grad():
        randomise(model)
        model = model.to(precision)
        model.save_pretrained(folder / name, **({"max_shard_size": "60KB"} if name == "bert" else {}))
        tokenizer.save_pretrained(folder / name)
        model = model.float()
        ids = [tokenizer(text)["input_ids"] for text in texts]
        logits = [model(torch.tensor([tokens])).logits[0].tolist() for tokens in ids]
    expected["models"][name] = {"tokens": ids, "logits": [[round(x, 6) for x in row] for row in logits]}
with open(here / "encoders.json", "w", encoding="utf-8") as file:
    json.dump(expected, file, separators=(",", ":"))
    file.write("\n")

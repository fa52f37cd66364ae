"""Trains the tiny byte-level tokenizers of this folder and writes down what the Python library makes of many strings.

    pip install tokenizers==0.23.3
    python make.py

NAME.tokenizer.json is the tokenizer, NAME.json its strings and ids. Each follows one family:
  tiny         Qwen2 (NFC, its split pattern), with added tokens of every kind
  tiny-llama3  Llama 3 (digits by threes, ignore_merges, a begin token), merges as "left right"
  tiny-digits  SmolLM2 (digits one by one, then ByteLevel), with a space put before every piece
"""
import json
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = Path(__file__).parent
PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
SPECIALS = ["<|end|>", "<|turn|>", "<|stop|>"]
TEXT = """
The two neighbours met at the garden gate and talked about the hedge. "I'd rather keep it," said Ana, "but we can cut it
together on Sunday, if you'll bring the ladder." Tom thought about the money: 120 for the gardener, 45 for the ladder.
They're both tired; she's polite, he isn't. "What would you like in return?" asked Tom. "Let's share the apples, and don't
tell the others about the old well." He smiled and agreed: it was more than he had hoped for. naïve café 漢字 한국어
"""
STRINGS = [
    "", " ", "   ", "\n", "\n\n \n", " \n a", "a\r\nb\r\n\r\nc", "x  y   z    ", "The neighbours talked about the hedge.",
    "I'd say WE'LL, they'Re, it'\u017f 'tis don't 'x", "1", "12", "1234567 8", "3.14-9", "\u0663\u0664 \u2167 \u00b2", "cafe\u0301 A\u030angstro\u0308m",
    "e" + "\u0301\u0316" * 20 + "x", "\u1100\u1161\u11a8", "\u0344\u0958", "한국어 漢字 ไทย עברית", "👩‍👩‍👧 👍🏽", "a\u00a0b\u3000c\u2028d\u0085e", "\x00\x1c\x7f\ufeff\ufffd",
    "<|turn|>Tom\nhello<|stop|>", "<|tur", "<|stop|><|stop|>x", "a <|strip|>  b", "  <|strip|>", " <|strip|> <|strip|> ", "word words sword word", "word", "wordé éword word_",
    "Caf\u00e9! cafe\u0301!", "<|end|>", "a" * 100, " " * 70, "!?" * 20, "\tx\ty", "__a_b__", "gate", " gate", "qzx qzx", "{\"argument\": \"Let's go.\"}", "\U0001d4b3\U0001d7d9",
]
CUT = ["👩‍👧", "漢字𠀀", "é", "<|end|>ü<|turn|>"]


def trained(pre, normalizer=None, **bpe):
    t = Tokenizer(models.BPE(**bpe))
    t.pre_tokenizer, t.decoder = pre, decoders.ByteLevel()
    if normalizer:
        t.normalizer = normalizer
    t.train_from_iterator(TEXT.strip().split("\n"), trainers.BpeTrainer(vocab_size=360, special_tokens=SPECIALS,
                          initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    return t


def split(digits):
    byte = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(PATTERN % digits), "isolated"), byte])


def tiny():
    t = trained(split(""), normalizers.NFC())
    t.add_tokens([AddedToken("<|strip|>", lstrip=True, rstrip=True), AddedToken("word", single_word=True, normalized=False),
                  AddedToken("cafe\u0301", normalized=True), AddedToken("Caf\u00e9", normalized=True)])
    t.post_processor = processors.ByteLevel(trim_offsets=False)
    return t


def tiny_llama3():
    t = trained(split("{1,3}"), ignore_merges=True)
    t.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing(
        single="<|end|> $A <|stop|>", special_tokens=[("<|end|>", 0), ("<|stop|>", 2)])])
    j = json.loads(t.to_str())
    for word in ("\u0120gate", "qzx"):  # no merge builds them: found whole only
        j["model"]["vocab"].setdefault(word, len(j["model"]["vocab"]))
    j["model"]["merges"] = [" ".join(m) for m in j["model"]["merges"]]
    return j


def tiny_digits():
    t = trained(pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=True)]))
    return t


def decoded(t, strings):
    for s in strings:
        ids = t.encode(s, add_special_tokens=False).ids
        for cut in {1, len(ids) // 2, len(ids) - 1}:
            for part in (ids[:cut], ids[cut:]):
                yield dict(ids=part, text=t.decode(part, skip_special_tokens=False))


def write(name, j):
    text = json.dumps(j, ensure_ascii=False)
    t = Tokenizer.from_str(text)
    (HERE / f"{name}.tokenizer.json").write_text(text + "\n", encoding="utf-8")
    cases = []
    for s in STRINGS:
        ids = t.encode(s, add_special_tokens=False).ids
        cases.append(dict(text=s, ids=ids, with_special=t.encode(s).ids,
                          decoded=t.decode(ids, skip_special_tokens=False), decoded_skip_special=t.decode(ids)))
    ref = dict(tokenizer=f"{name}.tokenizer.json", cases=cases, decode=list(decoded(t, CUT)))
    (HERE / f"{name}.json").write_text(json.dumps(ref, ensure_ascii=False) + "\n", encoding="utf-8")


write("tiny", json.loads(tiny().to_str()))
write("tiny-llama3", tiny_llama3())
write("tiny-digits", json.loads(tiny_digits().to_str()))

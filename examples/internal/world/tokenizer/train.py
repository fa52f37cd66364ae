"""Trains the world's tokenizer on the texts of its episodes.

    pip install tokenizers
    go run ./examples/internal/world/corpus | python examples/internal/world/tokenizer/train.py

Writes tokenizer.json beside this script: byte-level BPE with the split pattern of
Qwen2. All 256 bytes are in the vocabulary, so that any text can be written. The
frame of a SOTOPIA view and of an action, and the frequent words of the world, are
added tokens, one each: the few tokens of a prompt are spent on what differs.
"""
import collections
import json
import os
import re
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

SIZE = 512
MERGES = 32
SPECIAL = ["<|end|>", "<|user|>", "<|reply|>"]
FRAME = [
    "\nHere is the context of this interaction:\nScenario: ",
    "\nParticipants: ",
    "'s background: ",
    "'s goal: ",
    "Unknown",
    "\nConversation Starts:\n\n",
    *(f"Turn #{turn}: " for turn in range(12)),
    ' said: "',
    '"\n\n',
    '{"action_type": "speak", "argument": "',
    '"}',
    '{"action_type": "leave", "argument": ""}',
    '{"action_type": "none", "argument": ""}',
]
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def without_frame(texts):
    for frame in sorted(FRAME, key=len, reverse=True):
        texts = [part for text in texts for part in text.split(frame)]
    return texts


def frequent_words(texts, n):
    """The n words that save most tokens; none is the start of a word that is left out."""
    counts = collections.Counter(w for t in texts for w in re.findall(r" ?[A-Za-z]+| [0-9]", t))
    words = sorted(counts, key=lambda w: (-counts[w] * (len(w) - 1), w))
    words = [w for w in words if len(w) > 1]
    chosen = words[:n]
    rest = words[n:]
    return [w for w in chosen if not any(r.startswith(w) for r in rest)]


def main():
    texts = without_frame(json.load(sys.stdin))
    tok = Tokenizer(models.BPE())
    tok.normalizer = normalizers.NFC()
    tok.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLIT), behavior="isolated", invert=False),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tok.decoder = decoders.ByteLevel()
    words = frequent_words(texts, SIZE - 256 - MERGES - len(SPECIAL) - len(FRAME))
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE - len(SPECIAL) - len(FRAME) - len(words), show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    rare = [re.sub("|".join(re.escape(w) + r"\b" for w in words), "\n", t) for t in texts]
    tok.train_from_iterator(rare, trainer)
    tok.add_special_tokens(SPECIAL)
    tok.add_tokens([AddedToken(f, normalized=False) for f in FRAME + words])
    tok.save(os.path.join(os.path.dirname(os.path.abspath(__file__)), "tokenizer.json"))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""PyTorch's figures for the rows that this library's benchmarks take on the same GPU.

    torch.py make DIR      writes a model of a 7B shape with random weights, for both
    torch.py rows DIR      takes the rows: prints name, value, unit, and what they rest on
    SOCIALRL_BENCH_MODEL=DIR go test -tags cuda -run '^$' -bench CUDA ./lora ./grpo

Needs torch, transformers and accelerate; peft and trl for the row "step", bitsandbytes for
what is in 4 bits; the row "step" also needs the files of a Qwen2.5 tokenizer in DIR. A row whose package is missing says so. Each time is the median of
several, after a first that does not count.
"""

import argparse
import importlib.util
import statistics
import sys
import time

PROMPT, REPLY, GROUP = 900, 80, 16  # of the whole step
HEADS, KEY_HEADS, HEAD_DIM = 28, 4, 128


def report(name, value, unit, note=""):
    print(f"{name:44s} {value:12.2f} {unit:10s} {note}", flush=True)


def missing(*packages):
    return [p for p in packages if importlib.util.find_spec(p) is None]


def seconds(f, times=5):
    """Returns the median time of f on the GPU."""
    import torch

    taken = []
    for _ in range(times + 1):
        torch.cuda.synchronize()
        start = time.perf_counter()
        f()
        torch.cuda.synchronize()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken[1:])


def shape():
    """The configuration of the 7B shape."""
    from transformers import Qwen2Config

    return Qwen2Config(
        vocab_size=152064, hidden_size=3584, intermediate_size=18944, num_hidden_layers=28, num_attention_heads=HEADS,
        num_key_value_heads=KEY_HEADS, max_position_embeddings=32768, rms_norm_eps=1e-6, rope_theta=1e6,
        tie_word_embeddings=False, bos_token_id=151643, eos_token_id=151645)  # fmt: skip


def make(directory):
    import torch
    from transformers import Qwen2ForCausalLM

    torch.manual_seed(1)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        model = Qwen2ForCausalLM(shape())
    model.save_pretrained(directory)
    print(f"{sum(p.numel() for p in model.parameters())} parameters in {directory}")


def load(directory, four_bits=False):
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    extra = {}
    if four_bits:
        extra["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=torch.bfloat16)
    return AutoModelForCausalLM.from_pretrained(
        directory, torch_dtype=torch.bfloat16, device_map={"": 0}, attn_implementation="sdpa", **extra).eval()


def limits():
    """Measures the rates of products in bfloat16 and of copies."""
    import torch

    a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    product = 2 * 8192**3 / seconds(lambda: a @ b, 20)
    source = torch.empty(1 << 30, device="cuda", dtype=torch.uint8).fill_(1)
    target = torch.empty_like(source)
    copy = 2 * source.numel() / seconds(lambda: target.copy_(source), 20)
    report("limit: products in bf16", product / 1e12, "TFLOP/s")
    report("limit: memory, read and written", copy / 1e9, "GB/s")
    return product, copy


def prefill(model, name, limit):
    import torch

    tokens = 2048
    ids = torch.randint(0, model.config.vocab_size, (1, tokens), device="cuda")

    @torch.no_grad()
    def read():
        model(ids, use_cache=True, logits_to_keep=1)

    rate = tokens / seconds(read)
    c = model.config
    matrices = c.num_hidden_layers * c.hidden_size * ((HEADS * 2 + KEY_HEADS * 2) * HEAD_DIM + 3 * c.intermediate_size)
    report(f"prefill {tokens}, {name}", rate, "tokens/s", f"{100 * rate * 2 * matrices / limit:.1f}% of the rate of products")


def decode(model, name, streams, limit):
    import torch

    ids = torch.randint(0, model.config.vocab_size, (1, 512), device="cuda").expand(streams, -1)
    count = 64

    @torch.no_grad()
    def draw(n):
        model.generate(ids, max_new_tokens=n, min_new_tokens=n, do_sample=True, temperature=1.0, top_k=0, pad_token_id=0)

    step = (seconds(lambda: draw(count + 1)) - seconds(lambda: draw(1))) / count
    read = sum(p.numel() * p.element_size() for p in model.parameters())
    table = model.get_input_embeddings().weight  # of which a step reads few rows
    read -= table.numel() * table.element_size()
    report(f"decode {streams} after 512, {name}", streams / step, "tokens/s", f"{100 * read / step / limit:.1f}% of the rate of reading")


def attention():
    """Attention over the flat batch of a group: each whole sequence by itself."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.nn.functional import scaled_dot_product_attention as sdpa

    prompt, group, reply = 2048, 16, 128

    def tensor(heads):
        return torch.randn(group, heads, prompt + reply, HEAD_DIM, device="cuda", dtype=torch.bfloat16, requires_grad=True)

    q, k, v = tensor(HEADS), tensor(KEY_HEADS), tensor(KEY_HEADS)
    do = torch.randn_like(q)
    for backend in (SDPBackend.FLASH_ATTENTION, SDPBackend.CUDNN_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH):

        def forward():
            with sdpa_kernel(backend):
                return sdpa(q, k, v, is_causal=True, enable_gqa=True)

        def both():
            forward().backward(do)

        try:
            report(f"attention, flat, forward, {backend.name}", 1e3 * seconds(forward), "ms")
            report(f"attention, flat, both, {backend.name}", 1e3 * seconds(both), "ms")
        except (RuntimeError, torch.OutOfMemoryError) as e:
            print(f"attention, {backend.name}: {str(e).splitlines()[0]}")


def step(directory, name, four_bits):
    """Whole steps of TRL's GRPO trainer over one prompt, PEFT's adapter, transformers' generate."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoTokenizer, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    class Clock(TrainerCallback):
        taken = []

        def on_step_begin(self, *_, **__):
            torch.cuda.synchronize()
            self.start = time.perf_counter()

        def on_step_end(self, *_, **__):
            torch.cuda.synchronize()
            self.taken.append(time.perf_counter() - self.start)

    tokenizer = AutoTokenizer.from_pretrained(directory)
    word = tokenizer.decode([1000])
    text = word * PROMPT
    clock = Clock()
    torch.cuda.reset_peak_memory_stats()
    trainer = GRPOTrainer(
        model=load(directory, four_bits), processing_class=tokenizer, callbacks=[clock],
        reward_funcs=lambda completions, **_: [float(len(c) % 7) for c in completions],
        train_dataset=Dataset.from_dict({"prompt": [text] * 64}), peft_config=LoraConfig(r=8, lora_alpha=32, target_modules=["q_proj", "v_proj"]),
        args=GRPOConfig(
            output_dir="/tmp/trl-bench", per_device_train_batch_size=GROUP, num_generations=GROUP, max_completion_length=REPLY,
            max_steps=4, bf16=True, beta=0.04, temperature=0.9, top_k=50, gradient_checkpointing=True, report_to=[], save_strategy="no",
            logging_strategy="no", generation_kwargs={"min_new_tokens": REPLY}))  # fmt: skip
    trainer.train()
    report(f"step P={PROMPT} C={REPLY} G={GROUP}, {name}", statistics.median(clock.taken[1:]), "s", f"peak {torch.cuda.max_memory_allocated() / 1e9:.1f} GB, no reward model")


def rows(directory, pattern):
    import torch
    import transformers

    print(f"torch {torch.__version__}, transformers {transformers.__version__}, {torch.cuda.get_device_name()}")
    product, copy = limits()
    if "attention" in pattern:
        attention()
    for name, four_bits in (("bf16", False), ("nf4", True)):
        if four_bits and missing("bitsandbytes"):
            print("nf4: bitsandbytes is missing")
            continue
        if "model" in pattern:
            model = load(directory, four_bits)
            prefill(model, name, product)
            for streams in (1, 16):
                decode(model, name, streams, copy)
            del model
            torch.cuda.empty_cache()
        if "step" in pattern:
            if lacks := missing("trl", "peft", "datasets"):
                print(f"step, {name}: missing {', '.join(lacks)}")
                continue
            step(directory, name, four_bits)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["make", "rows"])
    parser.add_argument("directory", help="of the model")
    parser.add_argument("--only", default="attention,model,step", help="comma-separated: attention, model, step")
    args = parser.parse_args()
    if lacks := missing("torch", "transformers"):
        sys.exit(f"torch.py: missing {', '.join(lacks)}")
    if args.command == "make":
        make(args.directory)
    else:
        rows(args.directory, args.only.split(","))


main()

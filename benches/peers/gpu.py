#!/usr/bin/env python3
"""A GPU's figures beside PyTorch's on the same GPU: needs torch with CUDA or ROCm, transformers and peft, and a Vulkan driver.

First `diablo check`: figures of a device that computes wrong numbers are none. Then the matrix products of a layer, in float32 and with
factors in 16 bits, and a training step: PyTorch with peft's LoRA of rank 16 on all projections, in bf16, eager, beside LoRA and DiaBlo
of `diablo bench`. Random weights, every token learned from, clipping and AdamW. Ratios are of the fastest.

Usage: gpu.py --diablo PATH [--device gpu] [--shape smollm2-135m --shape llama-3.2-1b] [--batch-size 8] [--seq-len 512] [--seconds 5]
       [--unchecked]
"""
import argparse, json, subprocess, sys, time, warnings
import torch
from peft import LoraConfig, get_peft_model
from pytorch import SHAPES, TARGETS, loss, measure, model

warnings.simplefilter("ignore", FutureWarning)


class Gpu:
    """Where PyTorch computes; `--torch-device cpu` tries the script without a GPU."""

    def __init__(self, name):
        self.name = name

    def wait(self):
        if self.name != "cpu":
            torch.cuda.synchronize()

    def title(self):
        return "the CPU" if self.name == "cpu" else torch.cuda.get_device_name()


def own(a, *options):
    told = subprocess.run([a.diablo, "bench", *options, "--device", a.device, "--seconds", str(a.seconds), "--json"], capture_output=True, text=True)
    if told.returncode:
        sys.exit(f"diablo bench {' '.join(options)}: {told.stderr}")
    return json.loads(told.stdout)


def products(a, gpu, shape):
    """All products of a layer, forward and backward, together."""
    sizes = ["--shape", shape, "--batch-size", str(a.batch_size), "--seq-len", str(a.seq_len)]
    for dtype, title, options in [(torch.float32, "f32", []), (torch.bfloat16, "16 bits", ["--mixed-precision", "fp16"])]:
        told = own(a, "products", *sizes, *options)
        told, peak = told["products"], told["peak_flops_per_second"]
        flops = ours = theirs = best = 0.0
        kernels = set()
        for product in told:
            m, n, k = (int(x) for x in product["name"].split(",")[0].split()[-5::2])
            # The layouts differ in what lies along the rows; cuBLAS takes each as it is.
            x, w = torch.randn(m, k, device=gpu.name, dtype=dtype), torch.randn(n, k, device=gpu.name, dtype=dtype)

            def step():
                for _ in range(10):
                    x @ w.T
                gpu.wait()

            flops += 2.0 * m * n * k
            ours += product["seconds"]
            seconds = measure(step, 0.1)[0] / 10
            theirs += seconds
            best = max(best, 2.0 * m * n * k / seconds)
            kernels.add(product["kernel"])
        print(f"{shape}, {len(told)} products, {title}: PyTorch {flops / theirs / 1e12:.1f} TFLOP/s, diablo {flops / ours / 1e12:.1f} "
              f"({', '.join(sorted(kernels))}): {theirs / ours:.2f} of PyTorch's; the fastest {best / 1e12:.1f} and {peak / 1e12:.1f}: "
              f"{peak / best:.2f}", flush=True)


def lora(a, gpu, shape):
    """Seconds of a step of peft's LoRA."""
    sizes = SHAPES[shape]
    with torch.device(gpu.name):
        m = model(**sizes, attention="sdpa").to(torch.bfloat16)
    m = get_peft_model(m, LoraConfig(r=16, lora_alpha=32, lora_dropout=0.0, target_modules=sorted(TARGETS)))
    trained = [p for p in m.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=1e-4, weight_decay=0.0)
    ids = torch.randint(0, sizes["vocab_size"], (a.batch_size, a.seq_len), device=gpu.name)

    def step():
        l = loss(m, ids)
        optimiser.zero_grad()
        l.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        gpu.wait()

    return measure(step, a.seconds), sum(p.numel() for p in trained)


def steps(a, gpu, shape):
    tokens = a.batch_size * a.seq_len
    (best, median), trained = lora(a, gpu, shape)
    print(f"{shape}, {a.batch_size} x {a.seq_len}: PyTorch, peft's LoRA of rank 16 ({trained:,} numbers), bf16: best {best * 1e3:.1f} ms, "
          f"median {median * 1e3:.1f} ms, {tokens / best:,.0f} tokens/s", flush=True)
    sizes = ["--shape", shape, "--batch-size", str(a.batch_size), "--seq-len", str(a.seq_len), "--weights", "bf16"]
    for method in ["lora", "diablo"]:
        for title, options in [("f32", []), ("factors in 16 bits", ["--mixed-precision", "fp16"])]:
            told = own(a, *sizes, "--method", method, *options)["steps"][0]
            print(f"  {told['name'].split(', ', 1)[1]}, bf16 weights, {title}: best {told['best_seconds'] * 1e3:.1f} ms, "
                  f"{tokens / told['best_seconds']:,.0f} tokens/s, {told['memory'] / 2**30:.2f} GiB: "
                  f"{best / told['best_seconds']:.2f} of PyTorch's tokens/s", flush=True)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--diablo", required=True)
    ap.add_argument("--device", default="gpu")
    ap.add_argument("--torch-device", default="cuda")
    ap.add_argument("--shape", action="append")
    ap.add_argument("--batch-size", type=int, default=8)
    ap.add_argument("--seq-len", type=int, default=512)
    ap.add_argument("--seconds", type=float, default=5)
    ap.add_argument("--unchecked", action="store_true", help="where the device was checked before")
    a = ap.parse_args()
    gpu = Gpu(a.torch_device)
    # As a float32 product is elsewhere.
    torch.backends.cuda.matmul.allow_tf32 = False
    begun = time.perf_counter()
    if a.device != "cpu" and not a.unchecked:
        check = subprocess.run([a.diablo, "check", "--device", a.device], capture_output=True, text=True)
        print(check.stdout.strip().splitlines()[-1] if check.stdout else check.stderr.strip(), flush=True)
        if check.returncode:
            sys.exit("the device computes wrong numbers")
    print(f"PyTorch {torch.__version__} on {gpu.title()}", flush=True)
    for shape in a.shape or ["smollm2-135m", "llama-3.2-1b"]:
        products(a, gpu, shape)
        steps(a, gpu, shape)
    print(f"{time.perf_counter() - begun:.0f} s in all")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""The matrix products of a transformer's layers by `diablo bench products` and by numpy, on the same cores, in turn.

Prints GFLOP/s of both and the ratio for each product: best of the rounds. numpy writes into arrays that are there already, as a plan does.

Usage: products.py --diablo PATH [--shape smollm2-135m] [--seq-len 128] [--rounds 3]
"""
import argparse, json, re, statistics, subprocess, time
import numpy as np


def numpy_seconds(product, tokens, inputs, outputs, seconds=0.5):
    rng = np.random.default_rng(0)
    new = lambda *shape: rng.standard_normal(shape, dtype=np.float32)
    a, b = {"x W^T": lambda: (new(tokens, inputs), new(outputs, inputs).T),
            "g W": lambda: (new(tokens, outputs), new(outputs, inputs)),
            "g^T x": lambda: (new(tokens, outputs).T, new(tokens, inputs))}[product]()
    out = np.empty((a.shape[0], b.shape[1]), np.float32)
    np.matmul(a, b, out=out)
    times, end = [], time.perf_counter() + seconds
    while len(times) < 5 or time.perf_counter() < end:
        begun = time.perf_counter()
        np.matmul(a, b, out=out)
        times.append(time.perf_counter() - begun)
    return min(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--diablo", required=True)
    parser.add_argument("--shape", default="smollm2-135m")
    parser.add_argument("--seq-len", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    command = [args.diablo, "bench", "products", "--shape", args.shape, "--seq-len", str(args.seq_len), "--device", "cpu", "--json"]
    ours, theirs, flops = {}, {}, {}
    for _ in range(args.rounds):
        for row in json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)["products"]:
            product, tokens, inputs, outputs = re.match(r"(.+) (\d+) x (\d+) x (\d+),", row["name"]).groups()
            size = (int(tokens), int(inputs), int(outputs))
            flops[row["name"]] = 2 * size[0] * size[1] * size[2]
            ours[row["name"]] = min(row["seconds"], ours.get(row["name"], 9e9))
            theirs[row["name"]] = min(numpy_seconds(product, *size), theirs.get(row["name"], 9e9))
    ratios = []
    print(f"{'product':28}{'diablo':>10}{'numpy':>10}  GFLOP/s, ratio")
    for name, count in flops.items():
        ratios.append(theirs[name] / ours[name])
        print(f"{name:28}{count / ours[name] / 1e9:10.1f}{count / theirs[name] / 1e9:10.1f}{ratios[-1]:8.2f}")
    print(f"numpy {np.__version__}; lowest ratio {min(ratios):.2f}, median {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""A step of SmolLM2-135M's shape (1 x 128 tokens, all weights train, 32 bits, random weights) by diablo, meganeura and burn, in
turn on the machine's first Vulkan driver, one process each.

Both peers come from the package registry and are built here, outside the program's own build (about ten minutes on two cores).
Prints the best step of each process and the ratios of the fastest ones. meganeura's step updates the weights (plain descent), and so does
diablo's (clipping and AdamW), burn's does not.

Usage: rust.py [--tokens 128] [--steps 5] [--rounds 2] [--peers meganeura,burn] [--target DIR]
"""
import argparse, json, os, pathlib, subprocess, sys

HERE = pathlib.Path(__file__).resolve().parent


def build(folder, target):
    subprocess.run(["cargo", "build", "--release", "--quiet", "--target-dir", str(target)], cwd=folder, check=True)


def seconds(command, environment):
    ran = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(ran.stdout.strip().splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--steps", type=int, default=5, help="measured steps of a process, after one that is not counted")
    parser.add_argument("--rounds", type=int, default=2, help="processes of each program, in turn")
    parser.add_argument("--peers", default="meganeura,burn")
    parser.add_argument("--target", default=str(HERE.parents[1] / "target" / "peers"), help="where the peers are built")
    args = parser.parse_args()
    peers = args.peers.split(",")
    for peer in peers:
        build(HERE / peer, args.target)
    build(HERE.parents[1], HERE.parents[1] / "target")
    environment = dict(os.environ)
    commands = {p: [f"{args.target}/release/peer-{p}", str(args.tokens), str(args.steps)] for p in peers}
    diablo = str(HERE.parents[1] / "target" / "release" / "diablo")
    commands["diablo"] = [diablo, "bench", "--shape", "smollm2-135m", "--method", "full", "--seq-len", str(args.tokens),
                          "--device", "gpu", "--seconds", "0", "--json"]
    times = {name: [] for name in commands}
    for round in range(args.rounds):
        for name, command in commands.items():
            said = seconds(command, environment)
            best = min(said["seconds"]) if name != "diablo" else said["steps"][0]["best_seconds"]
            times[name].append(best)
            print(f"round {round + 1}, {name}: {best:.2f} s", flush=True)
    best = {name: min(t) for name, t in times.items()}
    for name, b in best.items():
        print(f"{name:12}{b:8.2f} s" + ("" if name == "diablo" else f"   diablo takes {best['diablo'] / b:.2f} of it"))


if __name__ == "__main__":
    sys.exit(main())

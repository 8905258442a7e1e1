"""Runs our ONNX files in onnxruntime: same results? and which of the two is faster, on the same file and machine?

Usage: compare_onnx.py FOLDER PROGRAM [PRESET...], where PROGRAM is the built example `onnx_trials` and FOLDER what it
wrote. With presets, only these are raced and nothing is compared. The two are timed in turns, each in rounds of a second,
with as many threads as there are processors and with one, and the least time of each is told.
"""

import json
import os
import pathlib
import subprocess
import sys
import time

import numpy
import onnxruntime

TOLERANCE = {"half": 2e-2, "single": 1e-4}
ROUNDS = 3
SECONDS = 1.0


def session(path, threads=0):
    options = onnxruntime.SessionOptions()
    # 0 stands for one thread a core, which is not the number of processors that share them.
    options.intra_op_num_threads = threads
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def numbers(path, shape):
    return numpy.fromfile(path, "<f4").reshape(shape)


def compare(path):
    shapes = json.loads(path.with_suffix(".json").read_text())
    given, expected = (numbers(path.with_suffix("." + key), shapes[key]) for key in ("input", "expected"))
    runner = session(path)
    (found,) = runner.run(None, {runner.get_inputs()[0].name: given})
    tolerance = TOLERANCE["half" if "half" in path.stem else "single"]
    worst = float(numpy.abs(found - expected).max())
    if found.shape != expected.shape or not worst <= tolerance:
        sys.exit(f"{path.name}: {found.shape}, off by {worst}, at most {tolerance} expected")
    print(f"{path.stem:36} {path.stat().st_size / 1e6:7.2f} MB   off by at most {worst:.1e}")


def least_ms(runner, given):
    least, end = float("inf"), time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        runner.run(None, given)
        least = min(least, time.perf_counter() - start)
    return least * 1e3


def our_least_ms(program, name, side, threads):
    environment = {**os.environ, "RAYON_NUM_THREADS": str(threads)}
    return float(subprocess.check_output([program, "time", name, side, str(SECONDS)], env=environment))


def race(path, program, threads):
    name, side = path.stem.removeprefix("student-").rsplit("-", 1)
    runner = session(path, threads)
    given = {"photo": numbers(path.with_suffix(".input"), (1, 3, int(side), int(side)))}
    ours = theirs = float("inf")
    for _ in range(ROUNDS):
        theirs = min(theirs, least_ms(runner, given))
        ours = min(ours, our_least_ms(program, name, side, threads))
    print(f"| `{name}` | {side} | {threads} | {ours:.2f} ms | {theirs:.2f} ms | {theirs / ours:.2f} |", flush=True)


def main(folder, program, *presets):
    files = sorted(pathlib.Path(folder).glob("*.onnx"))
    print("onnxruntime", onnxruntime.__version__)
    for path in files if not presets else []:
        compare(path)
    print("| preset | px | threads | toonify | onnxruntime | ratio |")
    for path in files:
        racing = path.stem.startswith("student-") and "dynamic" not in path.stem
        if racing and (not presets or path.stem.split("-", 1)[1].rsplit("-", 1)[0] in presets):
            for threads in sorted({os.cpu_count(), 1}, reverse=True):
                race(path, program, threads)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Runs our ONNX files in onnxruntime: same results? and which of the two is faster, on the same file and machine?

Usage: compare_onnx.py FOLDER PROGRAM, where PROGRAM is the built example `onnx_trials` and FOLDER what it wrote.
The two are timed in turns, five rounds each, and the least time of each is compared.
"""

import json
import pathlib
import subprocess
import sys
import time

import numpy
import onnxruntime

TOLERANCE = {"half": 2e-2, "single": 1e-4}
ROUNDS = 5


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 0
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


def least_ms(runner, given, seconds=1.5):
    least, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        runner.run(None, given)
        least = min(least, time.perf_counter() - start)
    return least * 1e3


def race(path, program):
    preset, side = path.stem.removeprefix("student-").rsplit("-", 1)
    runner = session(path)
    given = {"photo": numbers(path.with_suffix(".input"), (1, 3, int(side), int(side)))}
    ours = theirs = float("inf")
    for _ in range(ROUNDS):
        theirs = min(theirs, least_ms(runner, given))
        ours = min(ours, float(subprocess.check_output([program, "time", preset, side])))
    print(f"{preset:18} {side:>4} px   toonify {ours:7.2f} ms   onnxruntime {theirs:7.2f} ms   {theirs / ours:5.2f}x")


def main(folder, program):
    files = sorted(pathlib.Path(folder).glob("*.onnx"))
    print("onnxruntime", onnxruntime.__version__)
    for path in files:
        compare(path)
    for path in files:
        if path.stem.startswith("student-") and "dynamic" not in path.stem:
            race(path, program)


if __name__ == "__main__":
    main(*sys.argv[1:])

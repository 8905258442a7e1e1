#!/bin/sh
# Runs our ONNX files in onnxruntime, from the Python package index, in an environment of its own below target/.
set -eu
cd "$(dirname "$0")/.."
environment=target/onnx-environment
if [ ! -x "$environment/bin/python" ]; then
    python3 -m venv "$environment"
fi
"$environment/bin/pip" install --quiet --disable-pip-version-check numpy onnxruntime
cargo build --release -p toonify-networks --example onnx_trials
target/release/examples/onnx_trials write target/onnx-trials
"$environment/bin/python" tools/compare_onnx.py target/onnx-trials target/release/examples/onnx_trials

"""Runs an ONNX file in onnxruntime, for `toonify export`: prints the version, or exits with 3 when it is not installed.

The folder that is given holds file.onnx, shapes.json and the inputs' numbers, input-0 and so on; output is added.
"""

import json
import pathlib
import sys

try:
    import numpy
    import onnxruntime
except ImportError:
    sys.exit(3)

folder = pathlib.Path(sys.argv[1])
session = onnxruntime.InferenceSession(str(folder / "file.onnx"), providers=["CPUExecutionProvider"])
shapes = json.loads((folder / "shapes.json").read_text())
given = {
    wanted.name: numpy.fromfile(folder / f"input-{index}", "<f4").reshape(shape)
    for index, (wanted, shape) in enumerate(zip(session.get_inputs(), shapes, strict=True))
}
session.run(None, given)[0].astype("<f4").tofile(folder / "output")
print(onnxruntime.__version__)

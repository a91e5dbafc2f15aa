"""A Keras network that is stored in JavaScript files, as an ONNX network.

The files are read as data; no script is run.
"""

import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from facespeak_jax.errors import FaceSpeakError

_TYPES = {"uint8": np.uint8, "uint16": np.uint16}
# Layers after the last convolution classify; the features are the mean over what comes before.
_HEAD = ("Flatten", "Dense", "Dropout")


class BadNetwork(FaceSpeakError):
    """The files do not hold the network they should."""


def read(model: Path, shards: list[Path]) -> tuple[list[dict], dict[str, np.ndarray]]:
    """The layers and the named weights. Raises BadNetwork."""
    description = literal(model.read_text("utf-8"))
    content = b"".join(_encoded(shard) for shard in shards)
    layers = description["modelTopology"]["model_config"]["config"]["layers"]
    weights, position = {}, 0
    for entry in (entry for group in description["weightsManifest"] for entry in group["weights"]):
        stored = entry["quantization"]
        kind, count = np.dtype(_TYPES[stored["dtype"]]), int(np.prod(entry["shape"]))
        values = np.frombuffer(content, kind, count, position)
        position += values.nbytes
        weights[entry["name"]] = (
            (stored["min"] + stored["scale"] * values.astype(np.float32))
            .astype(np.float32)
            .reshape(entry["shape"])
        )
    if position != len(content):
        raise BadNetwork(f"{model}: {position} bytes of weights are described, {len(content)} held")
    return layers, weights


def literal(script: str) -> dict[str, Any]:
    """The object that a script assigns to its `exports`. Raises BadNetwork."""
    _, found, rest = script.partition(".exports={")
    # Minified scripts write unquoted names, !0 and !1 for true and false, and .5 for 0.5.
    text = re.sub(r"([{,])([A-Za-z_]\w*):", r'\1"\2":', "{" + rest)
    text = re.sub(r"!0\b", "true", re.sub(r"!1\b", "false", text))
    text = re.sub(r"([:\[,]-?)\.(\d)", r"\g<1>0.\2", text)
    try:
        return json.JSONDecoder().raw_decode(text)[0] if found else {}
    except json.JSONDecodeError as error:
        raise BadNetwork(f"the description cannot be read: {error}") from error


def _encoded(shard: Path) -> bytes:
    """The longest string of a script, which is base64."""
    strings = re.findall(r'"([A-Za-z0-9+/=]+)"', shard.read_text("ascii"))
    return base64.b64decode(max(strings, key=len))


def to_onnx(layers: list[dict], weights: dict[str, np.ndarray]) -> onnx.ModelProto:
    """The network from `picture` (1, 3, h, w) to the means over its last maps, `features` (1, c).

    Raises BadNetwork for a layer of another kind.
    """
    nodes, constants, last = [], [], ""
    names: dict[str, str] = {}
    for layer in layers:
        kind, config = layer["class_name"], layer["config"]
        if kind == "InputLayer":
            names[layer["name"]] = "picture"
            continue
        if kind in _HEAD or config.get("pool_size") == [8, 8]:
            break
        inputs = [names[node[0]] for node in layer["inbound_nodes"][0]]
        node, values = _node(kind, config, inputs, weights)
        nodes.append(node)
        constants += [numpy_helper.from_array(value, name) for name, value in values.items()]
        names[layer["name"]] = last = node.output[0]
    nodes.append(helper.make_node("ReduceMean", [last, "axes"], ["features"], keepdims=0))
    constants.append(numpy_helper.from_array(np.array([2, 3], np.int64), "axes"))
    picture, features = (
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in (("picture", [1, 3, "h", "w"]), ("features", [1, "c"]))
    )
    graph = helper.make_graph(nodes, "features", [picture], [features], constants)
    opset = [helper.make_opsetid("", 18)]
    return helper.make_model(graph, opset_imports=opset, ir_version=9)


def _node(
    kind: str, config: dict, inputs: list[str], weights: dict[str, np.ndarray]
) -> tuple[onnx.NodeProto, dict[str, np.ndarray]]:
    """One layer, and its constants by name."""
    name = config["name"]
    pad = "SAME_UPPER" if config.get("padding") == "same" else "VALID"
    if kind == "Conv2D":
        kernel = weights[f"{name}/kernel"].transpose(3, 2, 0, 1)
        values = {f"{name}.kernel": np.ascontiguousarray(kernel)}
        if config["use_bias"]:
            values[f"{name}.bias"] = weights[f"{name}/bias"]
        options = {"auto_pad": pad, "strides": config["strides"]}
        return helper.make_node("Conv", [*inputs, *values], [name], **options), values
    if kind == "BatchNormalization":
        beta = weights[f"{name}/beta"]
        values = {
            f"{name}.scale": weights.get(f"{name}/gamma", np.ones_like(beta)),
            f"{name}.shift": beta,
            f"{name}.mean": weights[f"{name}/moving_mean"],
            f"{name}.variance": weights[f"{name}/moving_variance"],
        }
        given = [*inputs, *values]
        node = helper.make_node("BatchNormalization", given, [name], epsilon=config["epsilon"])
        return node, values
    if kind in ("MaxPooling2D", "AveragePooling2D"):
        operator = kind.replace("Pooling2D", "Pool")
        options = {"auto_pad": pad, "strides": config["strides"]}
        shape = config["pool_size"]
        return helper.make_node(operator, inputs, [name], kernel_shape=shape, **options), {}
    if kind == "Activation" and config["activation"] == "relu":
        return helper.make_node("Relu", inputs, [name]), {}
    if kind == "Concatenate":
        return helper.make_node("Concat", inputs, [name], axis=1), {}
    raise BadNetwork(f"{name} is a layer of the unknown kind {kind}")

import base64

import numpy as np
import onnxruntime
import pytest

from facespeak_jax.evaluation.judges import keras_script

SCRIPT = """!function(a){return 1}({1:[function(a,n,i){n.exports={modelTopology:{model_config:{
config:{layers:[{name:"in",class_name:"InputLayer",config:{name:"in",sparse:!1},inbound_nodes:[]},
{name:"conv",class_name:"Conv2D",config:{name:"conv",strides:[2,2],padding:"same",use_bias:!1},
inbound_nodes:[[["in",0,0,{}]]]},
{name:"norm",class_name:"BatchNormalization",config:{name:"norm",epsilon:.001},
inbound_nodes:[[["conv",0,0,{}]]]},
{name:"relu",class_name:"Activation",config:{name:"relu",activation:"relu"},
inbound_nodes:[[["norm",0,0,{}]]]},
{name:"pool",class_name:"AveragePooling2D",config:{name:"pool",pool_size:[3,3],strides:[1,1],
padding:"same"},inbound_nodes:[[["relu",0,0,{}]]]},
{name:"both",class_name:"Concatenate",config:{name:"both",axis:3},
inbound_nodes:[[["relu",0,0,{}],["pool",0,0,{}]]]},
{name:"flat",class_name:"Flatten",config:{name:"flat"},inbound_nodes:[[["both",0,0,{}]]]}]}}},
weightsManifest:[{paths:["one"],weights:[
{name:"conv/kernel",shape:[1,1,3,2],quantization:{min:-1.5,scale:.5,dtype:"uint8"}},
{name:"norm/beta",shape:[2],quantization:{min:0,scale:.25,dtype:"uint8"}},
{name:"norm/moving_mean",shape:[2],quantization:{min:0,scale:.5,dtype:"uint8"}},
{name:"norm/moving_variance",shape:[2],quantization:{min:-.001,scale:1,dtype:"uint8"}}]}]}},{}]},{})"""
NUMBERS = bytes([0, 1, 2, 3, 4, 5, 1, 2, 0, 1, 1, 4])


@pytest.fixture
def files(tmp_path):
    (tmp_path / "model.js").write_text(SCRIPT.replace("\n", ""))
    packed = base64.b64encode(NUMBERS).decode()
    (tmp_path / "one.js").write_text(f'!function(d){{n("short");n("{packed}")}}')
    return tmp_path / "model.js", [tmp_path / "one.js"]


def test_weights_are_unpacked(files):
    _, weights = keras_script.read(*files)
    np.testing.assert_allclose(
        weights["conv/kernel"][0, 0], [[-1.5, -1.0], [-0.5, 0.0], [0.5, 1.0]]
    )
    np.testing.assert_allclose(weights["norm/moving_variance"], [0.999, 3.999])


def test_the_network_computes_what_the_layers_say(files):
    layers, weights = keras_script.read(*files)
    network = onnxruntime.InferenceSession(
        keras_script.to_onnx(layers, weights).SerializeToString(),
        providers=["CPUExecutionProvider"],
    )
    picture = np.random.default_rng(0).normal(size=(1, 3, 6, 6)).astype(np.float32)
    (found,) = network.run(None, {"picture": picture})
    maps = np.einsum("chw,cd->dhw", picture[0, :, ::2, ::2], weights["conv/kernel"][0, 0])
    mean, shift = weights["norm/moving_mean"], weights["norm/beta"]
    scale = 1 / np.sqrt(weights["norm/moving_variance"] + 0.001)
    maps = (maps - mean[:, None, None]) * scale[:, None, None] + shift[:, None, None]
    maps = np.maximum(maps, 0)
    # A "same" average leaves out what lies beyond the edge.
    inside = [slice(0, 2), slice(0, 3), slice(1, 3)]
    pooled = [[maps[:, y, x].mean(axis=(1, 2)) for x in inside] for y in inside]
    expected = np.concatenate([maps.mean(axis=(1, 2)), np.mean(pooled, axis=(0, 1))])
    np.testing.assert_allclose(found[0], expected, rtol=1e-5)


def test_what_is_no_network(files, tmp_path):
    layers, weights = keras_script.read(*files)
    layers[1]["class_name"] = "Lambda"
    with pytest.raises(keras_script.BadNetwork, match="Lambda"):
        keras_script.to_onnx(layers, weights)
    with pytest.raises(keras_script.BadNetwork, match="cannot be read"):
        keras_script.literal("n.exports={a:function(){}}")

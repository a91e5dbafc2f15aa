import pkgutil
import subprocess
import sys

from facespeak_jax.evaluation import metrics


def test_metrics_need_neither_jax_nor_any_extra():
    names = [
        f"facespeak_jax.evaluation.metrics.{m.name}" for m in pkgutil.iter_modules(metrics.__path__)
    ]
    heavy = ["jax", "librosa", "scipy", "tensorflow", "torch", "onnxruntime"]
    program = f"import sys, {', '.join(names)}; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr

"""BLEURT's network as PyTorch, in both layouts. In an environment of its own:

python -m venv ENV && ENV/bin/pip install bleurt-pytorch==0.0.1 'transformers<4.47'
ENV/bin/python tests/originals/networks/make_bleurt.py
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from bleurt_pytorch import BleurtConfig, BleurtForSequenceClassification
from formula import LAYOUTS, SIZES, inputs, weights_like


def logits(embedding_size: int | None) -> list[float]:
    """What a network with such embeddings says of the three pairs."""
    model = BleurtForSequenceClassification(BleurtConfig(embedding_size=embedding_size, **SIZES)).eval()
    model.load_state_dict(weights_like(model.state_dict()))
    with torch.no_grad():
        return model(**inputs()).logits.flatten().tolist()


def names(embedding_size: int | None) -> dict[str, list[int]]:
    """The names and shapes of its weights."""
    model = BleurtForSequenceClassification(BleurtConfig(embedding_size=embedding_size, **SIZES))
    return {name: list(tensor.shape) for name, tensor in model.state_dict().items()}


def main() -> None:
    """Writes bleurt-pytorch-0.0.1.json."""
    values = {name: {"logits": logits(size), "names": names(size)} for name, size in LAYOUTS.items()}
    path = Path(__file__).parent / "bleurt-pytorch-0.0.1.json"
    path.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {path.name}")


if __name__ == "__main__":
    main()

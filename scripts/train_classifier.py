"""Train a small classifier of digits, a feature extractor, and write it as safetensors.

    python scripts/train_classifier.py digits
    python scripts/train_classifier.py mnist --root data

The same seed gives the same file. The last epoch is kept, so nothing is selected by the test images.
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional

from gan_research.metrics.extractors.classifier import WEIGHTS, SmallCNN

RECIPES: dict[str, dict[str, Any]] = {
    "digits": {"widths": [32, 64], "epochs": 40, "shift": 1},
    "mnist": {"widths": [16, 32, 64], "epochs": 10, "shift": 2},
}
BATCH = 128


def load(data_set: str, root: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return images uint8 (N, 1, H, W) and labels int64 (N,) for training, then held-out ones."""
    if data_set == "digits":
        from sklearn.datasets import load_digits

        digits = load_digits()
        images = (torch.from_numpy(digits.images) * (255 / 16)).round().to(torch.uint8).unsqueeze(1)
        labels = torch.from_numpy(digits.target).long()
        held_out = torch.arange(len(images)) % 9 == 0
        return images[~held_out], labels[~held_out], images[held_out], labels[held_out]
    from torchvision.datasets import MNIST

    try:
        train, test = (MNIST(root, train=train, download=False) for train in (True, False))
    except RuntimeError as error:
        raise SystemExit(f"MNIST's four idx files aren't in {root}/MNIST/raw: put them there ({error})") from error
    return train.data.unsqueeze(1), train.targets, test.data.unsqueeze(1), test.targets


def shifted(images: Tensor, most: int) -> Tensor:
    """Shift each image at random by up to `most` pixels in each direction."""
    windows = functional.pad(images, [most] * 4).unfold(2, images.shape[2], 1).unfold(3, images.shape[3], 1)
    rows, columns = torch.randint(2 * most + 1, (2, len(images)))
    return windows[torch.arange(len(images)), :, rows, columns]


def train(network: SmallCNN, images: Tensor, labels: Tensor, epochs: int, shift: int) -> None:
    """Train with AdamW and a one-cycle learning rate, then standardise the features."""
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.05)
    batches = len(images) // BATCH
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=5e-3, total_steps=epochs * batches)
    for epoch in range(epochs):
        total = 0.0
        for chosen in torch.randperm(len(images))[: batches * BATCH].view(batches, BATCH):
            loss = functional.cross_entropy(network(shifted(images[chosen], shift))[1], labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            cycle.step()
            total += loss.item()
        print(f"epoch {epoch + 1}/{epochs}  loss {total / batches:.4f}", flush=True)
    network.eval()
    with torch.no_grad():
        mean, variance = network.standardise.running_mean, network.standardise.running_var
        assert mean is not None
        assert variance is not None
        mean.zero_()
        variance.fill_(1)
        raw = torch.cat([network(part)[0] for part in images.split(1000)]).double()
        mean.copy_(raw.mean(0))
        variance.copy_(raw.var(0))


def accuracy(network: SmallCNN, images: Tensor, labels: Tensor) -> float:
    """Return the share of images whose largest logit is their label's."""
    with torch.no_grad():
        right = [
            network(part)[1].argmax(1) == truth
            for part, truth in zip(images.split(500), labels.split(500), strict=True)
        ]
    return torch.cat(right).double().mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_set", choices=RECIPES)
    parser.add_argument("--root", default="data", help="the folder that contains MNIST/raw")
    parser.add_argument("--epochs", type=int, help="default: 40 for digits, 10 for mnist")
    parser.add_argument("--out", type=Path, help="default: the path from which the package loads it")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    torch.set_num_threads(1)  # sums in the same order on every machine with the same kernels
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(arguments.seed)
    recipe = RECIPES[arguments.data_set]
    epochs = recipe["epochs"] if arguments.epochs is None else arguments.epochs
    train_images, train_labels, test_images, test_labels = load(arguments.data_set, arguments.root)
    architecture: dict[str, Any] = {
        "channels": train_images.shape[1],
        "resolution": train_images.shape[2],
        "widths": recipe["widths"],
        "num_classes": 10,
        "num_features": 64,
    }
    network = SmallCNN(**architecture).to(memory_format=torch.channels_last)  # twice as fast on a CPU
    train(network, train_images, train_labels, epochs, recipe["shift"])
    measured = accuracy(network, test_images, test_labels)
    metadata = {
        "data_set": arguments.data_set,
        "architecture": architecture,
        "command": f"python scripts/train_classifier.py {arguments.data_set} --epochs {epochs} --seed {arguments.seed}",
        "seed": arguments.seed,
        "num_train": len(train_images),
        "num_test": len(test_images),
        "test_accuracy": f"{measured:.4f}",
    }
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    out = arguments.out or WEIGHTS / f"{arguments.data_set}.safetensors"
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(out.name + ".partial")
    partial.write_bytes(save(tensors, metadata={"classifier": json.dumps(metadata)}))
    os.replace(partial, out)
    print(
        f"test accuracy {measured:.4f} on {len(test_images)} images; wrote {out} ({out.stat().st_size / 1000:.0f} kB)"
    )


if __name__ == "__main__":
    main()

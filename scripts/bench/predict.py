"""What predicting files costs: 1,000 pictures of mixed kinds, two ways, interleaved.

    python scripts/bench/predict.py [--files 1000] [--rounds 5] [--assert-ratio]

1. moe_lab: what `moe-lab predict` does, with its CSV file
2. a bare PyTorch loop: PIL opens, converts and resizes each file, the model reads batches

Both load the model once. Pictures are PNG, JPEG, GIF, TIFF, BMP and WebP files
of 28 to 320 pixels, grey, in colours, with a palette, transparent and of 16 bits.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import sys
import tempfile
import time
from pathlib import Path

import moe_lab  # noqa: F401  (first: it makes torchvision importable)

import torch  # isort: skip
import numpy as np
from omegaconf import OmegaConf
from PIL import Image, ImageOps

from moe_lab import train
from moe_lab.analysis.prediction.predict_images import predict_images
from moe_lab.config.check import check_line
from moe_lab.training.load_run import load

MOST_OVER_BARE = 1.3
KINDS = ["L.png", "RGB.png", "RGBA.png", "P.gif", "RGB.jpg", "L.jpg", "RGB.bmp", "I;16.tiff"]
KINDS += ["RGB.webp", "1.png"]
BATCH = 256


def write_pictures(folder: Path, number: int) -> list[str]:
    """Smooth random pictures, which compress about as photographs do."""
    generator = np.random.default_rng(0)
    paths = []
    for index in range(number):
        mode, ending = KINDS[index % len(KINDS)].split(".")
        width, height = generator.integers(28, 321, 2).tolist()
        seeds = generator.integers(0, 256, (6, 6, 3), np.uint8)
        picture = Image.fromarray(seeds).resize((width, height), Image.Resampling.BICUBIC)
        if mode == "I;16":
            samples = np.asarray(picture.convert("L")).astype(np.uint16) * 257
            picture = Image.fromarray(samples)
        else:
            picture = picture.convert(mode)
        paths.append(str(folder / f"{index:04d}.{ending}"))
        picture.save(paths[-1])
    return paths


def bare(run: Path, paths: list[str]) -> float:
    """Seconds of a plain loop."""
    started = time.perf_counter()
    classifier = load(run)
    channels, height, width = classifier.config["dataset"]["shape"]
    answers = []
    with torch.inference_mode():
        for start in range(0, len(paths), BATCH):
            images = []
            for path in paths[start : start + BATCH]:
                with Image.open(path) as picture:
                    plain = picture.convert("L" if channels == 1 else "RGB")
                images.append(np.asarray(ImageOps.fit(plain, (width, height))))
            batch = torch.from_numpy(np.stack(images)).view(-1, channels, height, width).float()
            normalised = (batch / 255 - classifier.mean.view(-1, 1, 1)) / classifier.std.view(
                -1, 1, 1
            )
            answers.append(classifier(normalised).log_probs.exp())
    assert len(torch.cat(answers)) == len(paths)
    return time.perf_counter() - started


def ours(run: Path, folder: Path) -> float:
    """Seconds of the command, from its checked line to its file."""
    line = [f"run={run}", f"images={folder}", f"out={run / 'found.csv'}", "device=cpu"]
    (job,) = check_line("predict", line)
    request = OmegaConf.create(OmegaConf.to_container(job.config, resolve=True))
    started = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        outcome = predict_images(request)
    assert not outcome.skipped
    return time.perf_counter() - started


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--assert-ratio", action="store_true", help="exit 1 above the target")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        run, folder = Path(place) / "run", Path(place) / "pictures"
        folder.mkdir()
        words = ["dataset=synthetic", "trainer.max_epochs=1", "report=false", f"run_dir={run}"]
        with contextlib.redirect_stdout(io.StringIO()):
            assert train.main([*words, "trainer.accelerator=cpu"]) == 0
        paths = write_pictures(folder, arguments.files)
        bare(run, paths), ours(run, folder)  # warm up
        rounds = [(ours(run, folder), bare(run, paths)) for _ in range(arguments.rounds)]
    mine, plain = (statistics.median(seconds) for seconds in zip(*rounds, strict=True))
    ratio = statistics.median(first / second for first, second in rounds)
    print(
        f"moe-lab predict: {arguments.files / mine:,.0f} files a second, bare loop "
        f"{arguments.files / plain:,.0f}: {ratio:.2f} times its time (target <= {MOST_OVER_BARE}; "
        f"median of {arguments.rounds} interleaved rounds)"
    )
    return int(arguments.assert_ratio and ratio > MOST_OVER_BARE)


if __name__ == "__main__":
    sys.exit(main())
